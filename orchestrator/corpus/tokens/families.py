"""What BERT's, RoBERTa's and ALBERT's tokenizers are beside their words, for `train.py`.

A family says how text is normalised and divided before words are looked up, which special tokens
there are, and how they frame a text or a pair.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from orchestrator.settings.corpus import Algorithm


@dataclass(frozen=True, kw_only=True)
class Family:
    roles: dict[str, str]  # as transformers names them, in the order of the ids
    inputs: tuple[str, ...]  # what a model of the family reads
    is_mask_spaced: bool = False  # a mask takes the space before it, which is a part of words

    @property
    def specials(self) -> list[AddedToken]:
        mask = self.roles["mask_token"]
        return [
            AddedToken(token, lstrip=self.is_mask_spaced and token == mask, special=True)
            for token in dict.fromkeys(self.roles.values())
        ]


FAMILIES = {
    Algorithm.WORDPIECE: Family(
        roles={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    Algorithm.BPE: Family(
        roles={
            "cls_token": "<s>",
            "bos_token": "<s>",
            "pad_token": "<pad>",
            "sep_token": "</s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
        inputs=("input_ids", "attention_mask"),
        is_mask_spaced=True,
    ),
    Algorithm.UNIGRAM: Family(
        roles={
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "cls_token": "[CLS]",
            "bos_token": "[CLS]",
            "sep_token": "[SEP]",
            "eos_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        inputs=("input_ids", "token_type_ids", "attention_mask"),
        is_mask_spaced=True,
    ),
}


def wordpiece(model: models.WordPiece, *, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    # Accents go where capitals go, and every Chinese character is a word.
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    return tokenizer


def bpe(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def unigram(model: models.Unigram, *, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(model)
    letters = (
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
        if lowercase
        else [normalizers.NFKC()]
    )
    quotes = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    tokenizer.normalizer = normalizers.Sequence([*quotes, *letters])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def frame(tokenizer: Tokenizer, algorithm: Algorithm) -> None:
    """Special tokens, and where they stand: needs the words, which ids are numbers of."""
    family = FAMILIES[algorithm]
    tokenizer.add_special_tokens(family.specials)
    first, between = family.roles["cls_token"], family.roles["sep_token"]
    ids = tokenizer.get_vocab()
    if algorithm is Algorithm.BPE:
        tokenizer.post_processor = processors.RobertaProcessing(
            (between, ids[between]), (first, ids[first]), trim_offsets=True, add_prefix_space=True
        )
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {between}",
            pair=f"{first} $A {between} $B:1 {between}:1",
            special_tokens=[(first, ids[first]), (between, ids[between])],
        )
