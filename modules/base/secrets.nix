# Secrets that the device makes by itself. `lichenctl provision` does the work; docs/how-to/secrets.md tells the rest.
{ lib, config, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.lichen.secrets;
  # What systemd, and lichen.toml, take for the name of a secret.
  isName = name: builtins.match "[A-Za-z0-9_-]([A-Za-z0-9_.-]{0,198}[A-Za-z0-9_-])?" name != null;
in
{
  options.lichen.secrets = mkOption {
    default = { };
    example = { "rack.database-password".generate = { bytes = 32; encoding = "base64url"; }; };
    description = ''
      Secrets that each device makes by itself, by their names, unless its {file}`lichen.toml` gives them. Services get them like
      those of {file}`lichen.toml`: as credentials of that name (`ImportCredential=`, `LoadCredential=`). They are on DATA, and
      never in an image, in the Nix store or in a backup. `lichenctl secret rotate` makes a new value.
    '';
    type = types.attrsOf (types.submodule {
      options.generate = mkOption {
        description = "How the device makes the value, at the first boot or live switch that finds none. A later change applies from the next rotation on.";
        type = types.submodule {
          options = {
            bytes = mkOption { type = types.ints.between 16 1024; default = 32; description = "Of how many random bytes."; };
            encoding = mkOption {
              type = types.enum [ "hex" "base64url" ];
              default = "hex";
              description = "How the bytes become text: two hexadecimal digits each, or in the alphabet of base64 that URLs allow, without padding.";
            };
          };
        };
      };
    });
  };

  config = {
    assertions = map
      (name: {
        assertion = isName name;
        message = "lichen.secrets: `${name}' is not a valid name for a secret; allowed: up to 200 letters, digits, `-', `_' and inner `.'.";
      })
      (lib.attrNames cfg);
    environment.etc."lichen/secrets.json" = lib.mkIf (cfg != { }) {
      text = builtins.toJSON (lib.mapAttrs (_: secret: secret.generate) cfg);
    };
  };
}
