# What the recorder's options become.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "recorder" "ffmpeg" ] (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = recorder: modules.evalAppliance {
    inherit pkgs;
    modules = [{ _file = "appliances/x.nix"; services.recorder = { enable = true; } // recorder; }];
  };
  etc = recorder: (eval recorder).config.environment.etc;
  json = recorder: builtins.fromJSON (etc recorder)."recorder/config.json".text;
  unit = recorder: lib.splitString "\n" (etc recorder)."systemd/system/recorder.service".text;
  linesOf = recorder: prefix: lib.filter (lib.hasPrefix prefix) (unit recorder);
  lines = linesOf { };
  failed = recorder: map (a: a.message) (eval recorder).failedAssertions;
  hours = [ { start = "Mon..Fri 08:00"; stop = "Mon..Fri 22:00"; } ];
in
{
  "the service's own defaults are said in its own words" = {
    expr = json { };
    expected = {
      http = { port = 8083; metrics_port = 9101; };
      data.videos = "/var/lib/recorder-videos";
      camera = { source = "auto"; size = "1920x1080"; fps = 30; format = "auto"; sound = null; };
      schedule = { always = false; windows = [ ]; };
      space = { max_days = null; max_bytes = null; };
      gpio = { chips = [ "pinctrl-bcm2711" "pinctrl-rp1" ]; buttons = [ ]; leds = { ready = null; error = null; network = null; }; };
      uploads.target = "none";
    };
  };
  "what an upload's protocol needs is passed on as it is" = {
    expr = (json { uploads = { target = "tus"; tus.url = "https://x.example/"; limit_bytes_per_second = 500000; }; }).uploads;
    expected = { target = "tus"; tus.url = "https://x.example/"; limit_bytes_per_second = 500000; };
  };
  "a line is a number or a name" = {
    expr = let gpio = (json { gpio = { button = 17; leds.error = "GPIO27"; }; }).gpio; in [ gpio.buttons gpio.leds.error ];
    expected = [ [ { line = 17; } ] { line = "GPIO27"; } ];
  };
  "two uses of one line are refused" = {
    expr = failed { gpio = { button = 17; leds = { ready = 22; network = 17; }; }; };
    expected = [ "services.recorder.gpio: the button and the LEDs (17, 22, 17) need a line each." ];
  };
  "a camera, a test picture or the first camera is recorded" = {
    expr = map (it: (json it).camera.source) [ { } { camera.device = "/dev/v4l/by-id/x"; } { simulate = true; } ];
    expected = [ "auto" { device = "/dev/v4l/by-id/x"; } { lavfi = "testsrc2=size=640x360:rate=15"; } ];
  };
  "hours hold only if the schedule is followed" = {
    expr = map (record: (json { inherit record; schedule = hours; }).schedule) [ "manual" "schedule" "always" ];
    expected = [ { always = false; windows = [ ]; } { always = false; windows = hours; } { always = true; windows = [ ]; } ];
  };
  "a schedule without hours is refused" = {
    expr = [ (failed { record = "schedule"; }) (failed { record = "schedule"; schedule = hours; }) ];
    expected = [ [ "services.recorder.record is \"schedule\", but services.recorder.schedule is empty." ] [ ] ];
  };
  "it finds ffmpeg, and reaches cameras and lines, and no other device" = {
    expr = [ (lines "Device") (lines "SupplementaryGroups") (lib.any (lib.hasInfix "/usr/bin") (lines "Environment=\"PATH=")) ];
    expected = [
      [ "DeviceAllow=char-video4linux rw" "DeviceAllow=char-gpiochip rw" "DevicePolicy=closed" ]
      [ "SupplementaryGroups=video" "SupplementaryGroups=gpio" ]
      true
    ];
  };
  "sound is reached only if it is recorded" = {
    expr = let it = linesOf { camera.sound = "hw:1"; }; in it "DeviceAllow" ++ it "SupplementaryGroups";
    expected = [
      "DeviceAllow=char-video4linux rw" "DeviceAllow=char-gpiochip rw" "DeviceAllow=char-alsa rw"
      "SupplementaryGroups=video" "SupplementaryGroups=gpio" "SupplementaryGroups=audio"
    ];
  };
  "kinds of devices are known before a camera is plugged in" = {
    expr = map (camera: map (kind: lib.elem kind (eval { inherit camera; }).config.boot.kernelModules) [ "videodev" "snd" ]) [ { } { sound = "hw:1"; } ];
    expected = [ [ true false ] [ true true ] ];
  };
  "the database is protected, and recordings are not copied with it" = {
    expr = [ (builtins.fromJSON (etc { })."lichen/state.json".text).recorder.directory (lines "StateDirectory=") ];
    expected = [ "/var/lib/recorder" [ "StateDirectory=recorder recorder-videos" ] ];
  };
  "its health is asked for where it tells it" = {
    expr = (builtins.fromJSON (etc { metricsPort = 99; })."lichen/health.json".text).checks.recorder.http;
    expected = "http://127.0.0.1:99/health";
  };
  "the firewall is opened for the page and the metrics, and only if asked" = {
    expr = map (c: (eval c).config.networking.firewall.allowedTCPPorts) [ { } { openFirewall = true; } ];
    expected = [ [ 22 ] [ 22 8083 9101 ] ];
  };
}
