# The module and the page of docs/how-to/add-a-service.md. Their texts in the document are those of the files here.
{ lib, modules }:
let
  how-to = builtins.readFile ../../../docs/how-to/add-a-service.md;
  blocks = map (rest: lib.head (lib.splitString "```" rest)) (lib.tail (lib.splitString "```nix\n" how-to));
  # In the document, the module is beside the others.
  placed = lib.replaceStrings [ "./common" ] [ "../../common" ];
  rings = modules.evalAppliance {
    pkgs = { lichenctl.outPath = "/usr"; rings.outPath = "/usr"; };
    modules = [ ./tutorial/module.nix ./tutorial/page.nix ];
  };
  etc = rings.config.environment.etc;
in
{
  "the document shows what is tried here" = {
    expr = map placed blocks;
    expected = map builtins.readFile [ ./tutorial/module.nix ./tutorial/page.nix ];
  };
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
