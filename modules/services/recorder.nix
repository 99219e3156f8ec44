# A camera far away: records when a button, the page or a schedule says so, uploads, and frees its disk by itself.
{ config, lib, pkgs, ... }@module:
let
  inherit (lib) mkIf mkMerge mkOption types;
  cfg = config.services.recorder;
  kit = import ./common/kit.nix module { name = "recorder"; };
  inherit (kit) option;
  # One image runs on all boards: the chip is the first that a device has.
  boards = map (file: import (../../hardware + "/${file}")) (builtins.attrNames (builtins.readDir ../../hardware));
  headers = lib.concatMap (board: lib.optional (board ? gpioHeader) board.gpioHeader) boards;
  line = types.nullOr (types.either types.ints.unsigned types.str);
  led = what: option line null "Line of the LED that shows ${what}; none if null.";
  window = types.submodule {
    options = {
      start = mkOption { type = types.str; example = "Mon..Fri 08:00"; description = "When to begin, in the words of {manpage}`systemd.time(7)`, in the device's time zone."; };
      stop = mkOption { type = types.str; example = "Mon..Fri 22:00"; description = "When to end."; };
    };
  };
  sound = cfg.camera.sound != null;
  given = lib.filter (line: line != null);
  pins = given [ cfg.gpio.button cfg.gpio.leds.ready cfg.gpio.leds.error cfg.gpio.leds.network ];
  # Beside the database, which is protected as a whole: gigabytes of video are not.
  videos = "/var/lib/recorder-videos";
in
{
  options.services.recorder = kit.options {
    what = "the recorder of a camera";
    port = 8083;
    serves = "the page and the API";
  } // {
    metricsPort = option types.port 9101 "Port of the metrics and of the reports of its health.";
    simulate = option types.bool false "Whether to record a test picture instead of a camera.";
    camera = {
      device = option types.str "auto" "The camera, as `/dev/v4l/by-id/…`; `auto` is the first one that is plugged in.";
      size = option (types.strMatching "[1-9][0-9]*x[1-9][0-9]*") "1920x1080" "The size of the picture; if the camera does not have it, the next smaller one is taken.";
      fps = option types.ints.positive 30 "Pictures a second.";
      format = option (types.enum [ "auto" "h264" "mjpeg" "raw" ]) "auto" "Which of the camera's formats is taken; `auto` is H.264 if there is some, else MJPEG, both of which are copied.";
      sound = option (types.nullOr types.str) null "Where sound comes from, as ALSA names it (`hw:1`); none if null.";
    };
    record = option (types.enum [ "manual" "schedule" "always" ]) "manual" "When to record: when the button or the page says so, by the schedule, or always. The button and the page work with all of them.";
    schedule = option (types.listOf window) [ ] "When to record by the schedule.";
    keep = {
      days = option (types.nullOr types.ints.positive) null "Days for which recordings are kept, counted from when they began; as long as there is room if null. What is still to be uploaded is kept for longer. Days without power count once the network has set the clock.";
      bytes = option (types.nullOr types.ints.positive) null "Most bytes of recordings; as many as there is room for if null.";
    };
    gpio = {
      chips = option (types.listOf types.str) headers "Labels of the chips that the lines may be on; the first that the device has is used.";
      button = option line null "Line of the start and stop button, by its offset on the chip or by its name; none if null. It connects to ground.";
      leds = { ready = led "that it is ready, or, blinking, that it records"; error = led "an error"; network = led "whether there is a network"; };
    };
    uploads = mkOption {
      default = { };
      example = { target = "tus"; tus.url = "https://videos.example.org/files/"; };
      description = "Where recordings are uploaded to. Secrets are `recorder.upload-token`, `recorder.s3-access-key-id`, `recorder.s3-secret-access-key`, `recorder.youtube-client-id`, `recorder.youtube-client-secret` and `recorder.youtube-refresh-token`.";
      type = types.submodule {
        freeformType = types.attrsOf types.anything;
        options.target = option (types.enum [ "none" "s3" "tus" "put" "youtube" ]) "none" "The protocol. What it needs is in the service's own words, beside it.";
      };
    };
  };

  config = mkIf cfg.enable (mkMerge [
    (kit.service "recorder" {
      settings = {
        inherit (cfg) uploads;
        http.metrics_port = cfg.metricsPort;
        data.videos = videos;
        camera = {
          source = if cfg.simulate then { lavfi = "testsrc2=size=640x360:rate=15"; }
            else if cfg.camera.device == "auto" then "auto" else { inherit (cfg.camera) device; };
          inherit (cfg.camera) size fps format sound;
        };
        schedule = { always = cfg.record == "always"; windows = lib.optionals (cfg.record == "schedule") cfg.schedule; };
        space = { max_days = cfg.keep.days; max_bytes = cfg.keep.bytes; };
        gpio = {
          inherit (cfg.gpio) chips;
          buttons = map (line: { inherit line; }) (given [ cfg.gpio.button ]);
          leds = lib.mapAttrs (_: line: if line == null then null else { inherit line; }) cfg.gpio.leds;
        };
      };
      definition = {
        description = "The recorder of a camera";
        path = [ pkgs.ffmpeg ];
        serviceConfig = {
          SupplementaryGroups = [ "video" "gpio" ] ++ lib.optional sound "audio";
          DeviceAllow = [ "char-video4linux rw" "char-gpiochip rw" ] ++ lib.optional sound "char-alsa rw";
          StateDirectory = "recorder recorder-videos";
          RuntimeDirectory = "recorder";
          RuntimeDirectoryMode = "0755"; # heartbeat.json is for whoever watches
          # It looks into the table of routes and for the number of the boot.
          ProcSubset = "all";
          # setpriv, which lets ffmpeg die with the recorder, sets the capabilities anew that there are: none. What joins
          # parts gives way to what records.
          SystemCallFilter = [ "@system-service" "~@privileged @resources" "capset" "setpriority" ];
          # The recorder ends ffmpeg itself, so that the last part is whole.
          KillMode = "mixed";
          TimeoutStopSec = "30s";
          TasksMax = 256;
          MemoryHigh = "384M";
          MemoryMax = "512M";
        };
      };
      data.version = "1"; # the version of SCHEMA in crates/recorder, whose tests compare the two
    })
    {
      # Kinds of devices that a service may use are looked up when it starts, and a camera may be plugged in later.
      boot.kernelModules = [ "videodev" ] ++ lib.optional sound "snd";
      users.groups.gpio = { };
      services.udev.extraRules = ''
        SUBSYSTEM=="gpio", KERNEL=="gpiochip[0-9]*", GROUP="gpio", MODE="0660"
      '';
      networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall [ cfg.metricsPort ];
      assertions = [
        {
          assertion = cfg.record != "schedule" || cfg.schedule != [ ];
          message = "services.recorder.record is \"schedule\", but services.recorder.schedule is empty.";
        }
        {
          assertion = lib.length pins == lib.length (lib.unique pins);
          message = "services.recorder.gpio: the button and the LEDs (${lib.concatMapStringsSep ", " toString pins}) need a line each.";
        }
      ];
    }
  ]);
}
