# Energy with a screen. Its browser makes the image three times as large, so that only slow stories have it.
{
  imports = [ ../../appliances/energy.nix ];
  services.energy.kiosk.enable = true;
  # QEMU's screen has no graphics processor: what would stand in for one is slow when emulated.
  services.energy.kiosk.browserArguments = [ "--disable-gpu" ];
  services.cage.environment.WLR_RENDERER = "pixman";
}
