"""`bihuan`: the entry point of the command line."""

import chassis.runtime.green  # noqa: F401, I001  (before everything else)

import sys

from chassis.settings import Misconfigured
from console.exits import Ended, UsageError
from console.runtime.serving import serve_one
from rulebook import RulebookError


def main() -> None:
    """Run the command line; an error that the operator can fix is one sentence and exit code 2."""
    try:
        _obey(sys.argv[1:])
    except (Misconfigured, RulebookError) as error:
        sys.exit(_say(error, UsageError.code))
    except Ended as error:
        sys.exit(_say(error, error.code))


def _obey(words: list[str]) -> None:
    """Serve directly if the arguments are the simplest, as from fleets and containers; otherwise
    parse them. The other commands and the parser would stay in memory as long as it serves.
    """
    match words:
        case ["run", service] if service.isalpha():
            serve_one(service)
        case ["run", service, "--port", port] if service.isalpha() and _is_port(port):
            serve_one(service, int(port))
        case _:
            from console.app import app

            app()


def _is_port(word: str) -> bool:
    return word.isascii() and word.isdecimal() and int(word) <= 65535


def _say(error: Exception, code: int) -> int:
    print(f"bihuan: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
