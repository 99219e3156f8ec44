# Hardware that a configuration asks for. What a board itself has is in its file in hardware/.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  i2c = config.hardware.i2c;
in
{
  options = {
    hardware.i2c = {
      enable = mkOption { type = types.bool; default = false; example = true; description = "Whether the I²C bus of the header is switched on; members of the group may use it."; };
      group = mkOption { type = types.str; default = "i2c"; description = "The group that may use the bus."; };
    };
    hardware.raspberry-pi.firmwareConfig = mkOption {
      type = types.listOf types.singleLineStr;
      default = [ ];
      example = [ "dtparam=audio=off" "gpu_mem=16" ];
      description = "Lines of the Raspberry Pi's {file}`config.txt`, besides those that the image needs to boot.";
    };
    services.udev.extraRules = mkOption {
      type = types.lines;
      default = "";
      example = ''SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"'';
      description = "Rules for devices, as {file}`99-local.rules`.";
    };
  };

  config = lib.mkMerge [
    (mkIf i2c.enable {
      boot.kernelModules = [ "i2c-dev" ];
      users.groups.${i2c.group} = { };
      services.udev.extraRules = ''
        SUBSYSTEM=="i2c-dev", KERNEL=="i2c-[0-9]*", GROUP="${i2c.group}", MODE="0660"
      '';
      # Every sensor can do 100 kHz.
      hardware.raspberry-pi.firmwareConfig = [ "dtparam=i2c_arm=on" "dtparam=i2c_arm_baudrate=100000" ];
    })
    {
      environment.etc."udev/rules.d/99-local.rules" = mkIf (config.services.udev.extraRules != "") { text = config.services.udev.extraRules; };
      systemd.services.systemd-udevd.restartTriggers = mkIf (config.services.udev.extraRules != "") [ config.services.udev.extraRules ];
    }
  ];
}
