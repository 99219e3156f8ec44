# A network that heals.
{ lib, modules }:
let
  eval = module: modules.evalAppliance { pkgs.lichenctl.outPath = "/usr"; modules = [ module ]; };
  etc = module: (eval module).config.environment.etc;
  settings = module: builtins.fromJSON (etc module)."lichen/link.json".text;
  lines = wanted: text: lib.filter (line: lib.any (key: lib.hasPrefix "${key}=" line) wanted) (lib.splitString "\n" text);
in
{
  "every device heals, and has time to" = {
    expr = settings { };
    expected = { reconnect_after = 120; reload_driver_after = 600; reboot_after = 3600; interfaces = [ ]; tunnels = [ ]; };
  };
  "a page can be more patient, or never reboot" = {
    expr = let s = settings { lichen.network.heal = { reconnectAfter = 300; rebootAfter = null; interfaces = [ "wlan0" ]; }; }; in
      [ s.reconnect_after s.reboot_after s.interfaces ];
    expected = [ 300 null [ "wlan0" ] ];
  };
  "no patience at all is refused" = {
    expr = settings { lichen.network.heal.reconnectAfter = 0; };
    fails = true;
  };
  "who does not want it has nothing of it" = {
    expr = let e = etc { lichen.network.heal.enable = false; }; in [ (e ? "lichen/link.json") (e ? "systemd/system/lichen-heal.service") ];
    expected = [ false false ];
  };
  "the endpoints of tunnels are known to it, where they are given" = {
    expr = (settings {
      networking.wireguard.interfaces.wg0.peers = [
        { publicKey = "HOME="; endpoint = "vpn.example.org:51820"; }
        { publicKey = "CALLS-IN="; }
      ];
    }).tunnels;
    expected = [{ interface = "wg0"; peer = "HOME="; endpoint = "vpn.example.org:51820"; }];
  };
  "it may change the network and drivers, and little else" = {
    expr = lines [ "CapabilityBoundingSet" "ProtectSystem" "ReadWritePaths" "NoNewPrivileges" "Restart" ]
      (etc { })."systemd/system/lichen-heal.service".text;
    expected = [
      "CapabilityBoundingSet=CAP_NET_ADMIN"
      "CapabilityBoundingSet=CAP_SYS_MODULE"
      "NoNewPrivileges=true"
      "ProtectSystem=strict"
      "ReadWritePaths=-/run/lichen"
      "ReadWritePaths=-/var/lib/lichen"
      "ReadWritePaths=-/var/lib/iwd"
      "Restart=always"
    ];
  };
}
