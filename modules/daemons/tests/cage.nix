# What cage's options become.
{ lib, modules }:
let
  pkgs = lib.genAttrs [ "lichenctl" "cage" "fonts-dejavu-core" "libgl1-mesa-dri" "seatd" "xkb-data" ]
    (name: { type = "derivation"; inherit name; outPath = "/usr"; });
  eval = cage: (modules.evalAppliance { inherit pkgs; modules = [{ services.cage = cage; }]; }).config;
  unit = cage: lib.splitString "\n" (eval ({ enable = true; program = "/etc/kiosk"; } // cage)).environment.etc."systemd/system/cage-tty1.service".text;
in
{
  "an appliance without a screen has nothing of it" = {
    expr = let it = eval { }; in [ (it.systemd.services ? cage-tty1) (it.systemd.services ? seatd) ];
    expected = [ false false ];
  };
  "the program is run by cage, as the user named" = {
    expr = lib.filter (l: lib.hasPrefix "ExecStart=" l || lib.hasPrefix "User=" l) (unit { user = "kiosk"; extraArguments = [ "-d" ]; });
    expected = [ "ExecStart=/usr/bin/cage -d -- /etc/kiosk" "User=kiosk" ];
  };
  "the environment can be changed" = {
    expr = lib.filter (lib.hasInfix "WLR_") (unit { environment.WLR_RENDERER = "pixman"; });
    expected = [ "Environment=\"WLR_LIBINPUT_NO_DEVICES=1\"" "Environment=\"WLR_RENDERER=pixman\"" ];
  };
}
