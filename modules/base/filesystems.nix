# File systems besides those that the initrd mounts (/, /usr, /etc, /var, /nix).
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  reserved = [ "/" "/usr" "/etc" "/var" "/nix" "/run" ];
  escape = builtins.replaceStrings [ " " "\t" ] [ "\\040" "\\011" ];
  line = fs: lib.concatMapStringsSep " " escape [
    fs.device
    fs.mountPoint
    fs.fsType
    (lib.concatStringsSep "," fs.options)
  ] + " 0 ${if fs.noCheck then "0" else "2"}\n";
in
{
  options.services.fstrim = {
    enable = mkOption { type = types.bool; default = true; description = "Whether the card is told which blocks are free; it then levels its wear better."; };
    interval = mkOption { type = types.str; default = "weekly"; description = "How often, as a calendar event."; };
  };
  options.fileSystems = mkOption {
    default = { };
    example = lib.literalExpression ''{ "/data" = { device = "/dev/disk/by-label/data"; fsType = "ext4"; options = [ "nofail" ]; }; }'';
    description = "File systems that are mounted at boot, by where they are mounted.";
    type = types.attrsOf (types.submodule ({ name, config, ... }: {
      options = {
        mountPoint = mkOption { type = types.nonEmptyStr; default = name; defaultText = lib.literalMD "the attribute's name"; example = "/mnt/usb"; description = "Where it is mounted."; };
        device = mkOption { type = types.nullOr types.nonEmptyStr; default = null; example = "/dev/sda"; description = "The device, or what the file system type accepts in its place."; };
        label = mkOption { type = types.nullOr types.nonEmptyStr; default = null; example = "data"; description = "The label of the file system, in place of `device`."; };
        fsType = mkOption { type = types.nonEmptyStr; default = "auto"; example = "ext4"; description = "The type of the file system."; };
        options = mkOption { type = types.nonEmptyListOf types.nonEmptyStr; default = [ "defaults" ]; example = [ "noatime" ]; description = "Mount options."; };
        noCheck = mkOption { type = types.bool; default = false; description = "Whether to leave out the check at boot."; };
      };
      config.device = lib.mkIf (config.label != null) (lib.mkDefault "/dev/disk/by-label/${config.label}");
    }));
  };

  config = {
    fileSystems."/boot" = {
      # The initrd's link to the partition beside DATA. A name below /dev would make systemd wait until udev has
      # handled all devices before it; and may be that of another card that is plugged in.
      device = lib.mkDefault "/run/boot-device";
      fsType = lib.mkDefault "vfat";
      # A broken BOOT must not stop a system that runs; and what a power cut left of a file that nothing refers to
      # must not make it read-only, when that file is removed.
      options = lib.mkDefault [ "noatime" "umask=0077" "errors=continue" "nofail" ];
      # Nothing in the image checks a FAT; and systemd would complain at each boot that this is no device.
      noCheck = lib.mkDefault true;
    };

    systemd.timers.fstrim = lib.mkIf config.services.fstrim.enable {
      wantedBy = [ "timers.target" ];
      timerConfig.OnCalendar = [ "" config.services.fstrim.interval ];
    };
    environment.etc.fstab.text = lib.concatStrings (map line (lib.attrValues config.fileSystems)
      ++ map
      (s: "${escape s.device} none swap ${lib.concatStringsSep "," (s.options ++ lib.optional (s.priority != null) "pri=${toString s.priority}")} 0 0\n")
      (lib.filter (s: s.size == null) config.swapDevices));

    assertions = lib.concatLists (lib.mapAttrsToList
      (name: fs: [
        {
          assertion = fs.device != null;
          message = "fileSystems.\"${name}\" has neither `device' nor `label'.";
        }
        {
          assertion = !(builtins.elem fs.mountPoint reserved);
          message = "fileSystems.\"${name}\": ${fs.mountPoint} is mounted by the initrd and can't be configured.";
        }
      ])
      config.fileSystems);
  };
}
