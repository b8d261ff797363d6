"""`python -m orchestrator …` is `orchestrator …`, also where no console script is on the PATH."""

from orchestrator.cli.main import main

if __name__ == "__main__":
    main()
