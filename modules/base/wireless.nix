# Wi-Fi, through iwd. Networks and their passphrases come from lichen.toml or iwctl, never from a configuration.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.networking.wireless.iwd;
  atom = types.oneOf [ types.bool types.int types.float types.str ];
  value = v: if builtins.isBool v then lib.boolToString v else toString v;
in
{
  options.networking.wireless.iwd = {
    enable = mkOption { type = types.bool; default = false; example = true; description = "Whether iwd manages wireless networks. It does by default here, so that lichen.toml alone can give a device Wi-Fi."; };
    settings = mkOption {
      type = types.attrsOf (types.attrsOf atom);
      default = { };
      example = { Settings.AutoConnect = true; };
      description = "Settings of iwd, see {manpage}`iwd.config(5)`.";
    };
  };

  config = {
    networking.wireless.iwd.enable = lib.mkOverride 1400 true;
    # systemd-networkd configures addresses; interfaces keep the names that udev gave them.
    networking.wireless.iwd.settings = {
      General.EnableNetworkConfiguration = lib.mkDefault false;
      Network.NameResolvingService = lib.mkDefault "systemd";
    };
    environment.etc."iwd/main.conf" = mkIf cfg.enable {
      text = lib.generators.toINI { mkKeyValue = k: v: "${k}=${value v}"; } cfg.settings;
    };
    # The appearance of a radio starts it: without one there is nothing to do, and nothing can fail.
    services.udev.extraRules = mkIf cfg.enable ''
      ACTION=="add", SUBSYSTEM=="ieee80211", TAG+="systemd", ENV{SYSTEMD_WANTS}+="iwd.service"
    '';
    systemd.services.iwd = mkIf cfg.enable {
      after = [ "lichen-provision.service" ];
      restartTriggers = [ config.environment.etc."iwd/main.conf".text ];
    };
  };
}
