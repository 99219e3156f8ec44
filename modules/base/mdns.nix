# The device answers to its name in `.local` on its network (multicast DNS), and its console says where its pages are.
{ lib, config, ... }:
let
  inherit (lib) mkIf mkOption types;
  cfg = config.lichen;
in
{
  options.lichen = {
    localName = mkOption {
      type = types.bool;
      default = true;
      description = "Whether the device answers to {file}`NAME.local` on its network, by multicast DNS, and finds others by such names.";
    };
    pages = mkOption {
      type = types.listOf (types.submodule {
        options = {
          scheme = mkOption { type = types.enum [ "http" "https" ]; default = "http"; description = "Whether it is reached by TLS."; };
          port = mkOption { type = types.port; description = "Its port."; };
        };
      });
      default = [ ];
      example = [ { port = 8080; } ];
      description = "The pages of this device, whose addresses its console shows. Services with a page add theirs.";
    };
  };

  config = {
    networking.firewall.allowedUDPPorts = mkIf cfg.localName [ 5353 ];
    environment.etc."lichen/console.json".text = builtins.toJSON {
      local_name = cfg.localName;
      pages = map (page: [ page.scheme page.port ]) cfg.pages;
    };
    assertions = [{
      assertion = cfg.localName -> config.services.resolved.enable;
      message = "lichen.localName needs services.resolved, which is turned off: set lichen.localName = false, too.";
    }];
  };
}
