# The page of docs/how-to/serve-a-web-application.md. Its text in the document is that of the file here; the flake's check
# `web-application` lets the daemons judge it.
{ lib, modules }:
let
  how-to = builtins.readFile ../../../docs/how-to/serve-a-web-application.md;
  block = lib.head (lib.splitString "```" (lib.elemAt (lib.splitString "```nix\n" how-to) 1));
  pkgs = lib.genAttrs [ "lichenctl" "nginx" "openssl" "postgresql-17" "postgresql-client-17" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  web = modules.evalAppliance { inherit pkgs; modules = [ ./how-to/web.nix ]; };
in
{
  "the document shows what is tried here, in at most 40 lines" = {
    expr = [ block (lib.length (lib.splitString "\n" block) <= 41) ];
    expected = [ (builtins.readFile ./how-to/web.nix) true ];
  };
  "it is sound" = { expr = [ web.problems (map (a: a.message) web.failedAssertions) ]; expected = [ [ ] [ ] ]; };
  "every daemon of it is judged, watched and brought back" = {
    expr = map lib.attrNames [ web.config.lichen.configurationChecks web.config.lichen.healthChecks web.config.lichen.state ];
    expected = [ [ "nginx" "postgresql" ] [ "nginx" "postgresql" ] [ "postgresql" ] ];
  };
}
