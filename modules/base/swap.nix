# Swap: compressed memory, and files on DATA.
{ lib, config, utils, ... }:
let
  inherit (lib) mkOption mkIf types;
  zram = config.zramSwap;
  files = lib.filter (s: s.size != null) config.swapDevices;
  # These units are written here because all services would wait for those that generators make: for that of zram until
  # udev has found the device, and for that of a file, at first boot, until DATA has grown and the file is made.
  unit = what: options: priority: after: {
    wantedBy = [ "swap.target" ];
    text = ''
      [Unit]
      Description=Swap on ${what}
      DefaultDependencies=no
      Before=umount.target
      Conflicts=umount.target
    '' + lib.optionalString (after != null) "Requires=${after}\nAfter=${after}\n" + ''

      [Swap]
      What=${what}
      Options=${options}
    '' + lib.optionalString (priority != null) "Priority=${toString priority}\n";
  };
  zrams = map (n: "zram${toString n}") (lib.range 0 (zram.swapDevices - 1));
in
{
  options = {
    swapDevices = mkOption {
      default = [ ];
      example = [{ device = "/var/swapfile"; size = 1024; }];
      description = "Swap devices and files. With a size, the file is made at boot.";
      type = types.listOf (types.submodule ({ config, ... }: {
        options = {
          device = mkOption { type = types.nonEmptyStr; example = "/var/swapfile"; description = "The device, or the path of the file."; };
          label = mkOption { type = types.nullOr types.str; default = null; example = "swap"; description = "The label of the device, in place of `device`."; };
          size = mkOption { type = types.nullOr types.int; default = null; example = 2048; description = "The size of the file, in MiB."; };
          priority = mkOption { type = types.nullOr (types.ints.between 0 32767); default = null; example = 0; description = "Priority; higher is used first."; };
          options = mkOption { type = types.nonEmptyListOf types.nonEmptyStr; default = [ "defaults" ]; example = [ "nofail" ]; description = "Options in {file}`fstab`."; };
          deviceName = mkOption { type = types.str; internal = true; description = "The device as part of a unit's name."; };
        };
        config = {
          device = mkIf (config.label != null) "/dev/disk/by-label/${config.label}";
          deviceName = utils.escapeSystemdPath config.device;
        };
      }));
    };
    zramSwap = {
      enable = mkOption {
        type = types.bool;
        default = false;
        description = "Whether to have swap in compressed memory. It is on by default here, since memory is scarce and cards wear.";
      };
      memoryPercent = mkOption { type = types.int; default = 50; description = "How much may be stored in it at most, in percent of the memory."; };
      memoryMax = mkOption { type = types.nullOr types.int; default = null; description = "How much may be stored in it at most, in bytes."; };
      algorithm = mkOption { type = types.either (types.enum [ "842" "lzo" "lzo-rle" "lz4" "lz4hc" "zstd" ]) types.str; default = "zstd"; example = "lz4"; description = "The compression."; };
      priority = mkOption { type = types.int; default = 5; description = "Priority of this swap; it should be higher than that of swap on the card."; };
      swapDevices = mkOption { type = types.int; default = 1; description = "Number of zram devices."; };
    };
  };

  config = lib.mkMerge [
    {
      zramSwap.enable = lib.mkOverride 1400 true;

      systemd.units = lib.listToAttrs (map
        (swap: lib.nameValuePair "${swap.deviceName}.swap" (unit swap.device (lib.concatStringsSep "," swap.options) swap.priority null))
        files);

      # The file is on DATA, which grows at first boot; it is made once and kept unless its size changes.
      systemd.services = lib.listToAttrs (map
        (swap: lib.nameValuePair "mkswap-${swap.deviceName}" {
          description = "Initialisation of swap device ${swap.device}";
          before = [ "${swap.deviceName}.swap" "shutdown.target" ];
          after = [ "lichen-grow.service" ];
          requiredBy = [ "${swap.deviceName}.swap" ];
          conflicts = [ "shutdown.target" ];
          unitConfig = {
            DefaultDependencies = false;
            RequiresMountsFor = builtins.dirOf swap.device;
          };
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            UMask = "0177";
          };
          script = ''
            size=$((${toString swap.size} * 1024 * 1024))
            file=${lib.escapeShellArg swap.device}
            if [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" != "$size" ]; then
              # The file has another name until it is complete and durable. Otherwise a power cut in between would leave an
              # incomplete file that counts as swap for ever.
              rm -f "$file" "$file.new"
              fallocate -l "$size" "$file.new"
              mkswap "$file.new"
              mv "$file.new" "$file"
            fi
          '';
        })
        files);
    }
    (mkIf zram.enable {
      environment.etc."systemd/zram-generator.conf".text =
        let share = "ram * ${toString zram.memoryPercent} / 100 / ${toString zram.swapDevices}"; in
        lib.generators.toINI { mkKeyValue = k: v: "${k} = ${v}"; } (lib.listToAttrs (map
          (name: lib.nameValuePair name {
            zram-size = if zram.memoryMax == null then share else "min(${share}, ${toString zram.memoryMax} / 1024 / 1024)";
            compression-algorithm = zram.algorithm;
            swap-priority = toString zram.priority;
          })
          zrams));
      boot.kernelModules = [ "zram" ];
      boot.extraModprobeConfig = mkIf (zram.swapDevices != 1) "options zram num_devices=${toString zram.swapDevices}";
      # The generator's program sets a device up; as a generator it has nothing left to do.
      environment.etc."systemd/system-generators/zram-generator".source = "/dev/null";
      systemd.units = lib.listToAttrs (map
        (name: lib.nameValuePair "dev-${name}.swap" (unit "/dev/${name}" "discard" zram.priority "systemd-zram-setup@${name}.service"))
        zrams);
    })
  ];
}
