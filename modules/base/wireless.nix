# Wi-Fi, through iwd. Networks and their passphrases come from lichen.toml, or are made with iwctl; never from here.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  cfg = config.networking.wireless.iwd;
  atom = types.oneOf [ types.bool types.int types.float types.str ];
  value = v: if builtins.isBool v then lib.boolToString v else toString v;
in
{
  options.networking.wireless.iwd = {
    enable = mkOption { type = types.bool; default = false; example = true; description = "Whether iwd manages wireless networks. Lichen's own default is on: a device can be given Wi-Fi by lichen.toml alone."; };
    settings = mkOption {
      type = types.attrsOf (types.attrsOf atom);
      default = { };
      example = { Settings.AutoConnect = true; };
      description = "Settings of iwd, see {manpage}`iwd.config(5)`.";
    };
  };

  config = {
    networking.wireless.iwd.enable = lib.mkOverride 1400 true;
    # networkd gives addresses; names are kept, as udev gave them.
    networking.wireless.iwd.settings = {
      General.EnableNetworkConfiguration = lib.mkDefault false;
      Network.NameResolvingService = lib.mkDefault "systemd";
    };
    environment.etc."iwd/main.conf" = mkIf cfg.enable {
      text = lib.generators.toINI { mkKeyValue = k: v: "${k}=${value v}"; } cfg.settings;
    };
    # Started by the radio: without one there is nothing to do, and nothing to fail.
    services.udev.extraRules = mkIf cfg.enable ''
      ACTION=="add", SUBSYSTEM=="ieee80211", TAG+="systemd", ENV{SYSTEMD_WANTS}+="iwd.service"
    '';
    systemd.services.iwd = mkIf cfg.enable {
      after = [ "lichen-provision.service" ];
      restartTriggers = [ config.environment.etc."iwd/main.conf".text ];
    };
  };
}
