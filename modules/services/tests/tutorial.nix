# The module and the page of docs/how-to/add-a-service.md, from its own text.
{ lib, modules }:
let
  how-to = builtins.readFile ../../../docs/how-to/add-a-service.md;
  blocks = map (rest: lib.head (lib.splitString "```" rest)) (lib.tail (lib.splitString "```nix\n" how-to));
  # The text says where it is put: beside the other modules.
  placed = lib.replaceStrings [ "./common" ] [ (toString ../common) ] (lib.elemAt blocks 0);
  block = name: text: import (builtins.toFile name text);
  rings = modules.evalAppliance {
    pkgs = { lichenctl.outPath = "/usr"; rings.outPath = "/usr"; };
    modules = [ (block "rings.nix" placed) (block "page.nix" (lib.elemAt blocks 1)) ];
  };
  etc = rings.config.environment.etc;
in
{
  "the document has a module and a page" = { expr = lib.length blocks; expected = 2; };
  "the service of the document is run, reached and watched" = {
    expr = {
      unit = lib.filter (lib.hasPrefix "ExecStart=") (lib.splitString "\n" etc."systemd/system/rings.service".text);
      port = (builtins.fromJSON etc."rings/config.json".text).http.port;
      open = rings.config.networking.firewall.allowedTCPPorts;
      health = (builtins.fromJSON etc."lichen/health.json".text).checks.rings.http;
      data = (builtins.fromJSON etc."lichen/state.json".text).rings.version;
    };
    expected = { unit = [ "ExecStart=/usr/bin/rings" ]; port = 8090; open = [ 22 8090 ]; health = "http://127.0.0.1:8090/health"; data = "1"; };
  };
}
