# The page of docs/how-to/serve-a-web-application.md, and nothing else.
import ../../modules/daemons/tests/how-to/web.nix
