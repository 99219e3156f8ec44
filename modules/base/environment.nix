# Files below /etc, packages, and the environment of logins.
{ lib, config, ... }:
let
  inherit (lib) mkOption mkIf types;
  export = name: value: "export ${name}=${lib.escapeShellArg value}\n";
in
{
  options.environment = {
    etc = mkOption {
      default = { };
      example = lib.literalExpression ''{ "motd".text = "Hello"; }'';
      description = "Files below {file}`/etc`, by their path relative to it.";
      type = types.attrsOf (types.submodule ({ name, config, options, ... }: {
        options = {
          enable = mkOption {
            type = types.bool;
            default = true;
            description = "Whether this file is made. Allows single files of a module to be left out.";
          };
          target = mkOption {
            type = types.str;
            default = name;
            defaultText = lib.literalMD "the attribute's name";
            description = "The path of the file, relative to {file}`/etc`.";
          };
          text = mkOption {
            type = types.nullOr types.lines;
            default = null;
            description = "The content of the file.";
          };
          source = mkOption {
            type = types.path;
            description = ''
              The file whose content is used. An absolute path outside the store, written as a string, becomes a
              symbolic link to it.
            '';
          };
          mode = mkOption {
            type = types.str;
            default = "symlink";
            example = "0600";
            description = "Permissions of the file, in octal. `symlink` means whatever suits an unchanging file: 0644.";
          };
          uid = mkOption { type = types.int; default = 0; description = "User id of the file's owner."; };
          gid = mkOption { type = types.int; default = 0; description = "Group id of the file."; };
          user = mkOption {
            type = types.str;
            default = "+${toString config.uid}";
            defaultText = lib.literalExpression ''"+''${toString config.uid}"'';
            description = "User name of the file's owner; `+` and a number means that id.";
          };
          group = mkOption {
            type = types.str;
            default = "+${toString config.gid}";
            defaultText = lib.literalExpression ''"+''${toString config.gid}"'';
            description = "Group name of the file; `+` and a number means that id.";
          };
        };
        # For modules that want a path to compare or to pass on; the file itself is made from `text`.
        config.source = mkIf (config.text != null) (lib.mkDerivedConfig options.text
          (text: builtins.toFile (lib.strings.sanitizeDerivationName (builtins.baseNameOf name)) (builtins.unsafeDiscardStringContext text)));
      }));
    };
    systemPackages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = lib.literalExpression "[ pkgs.ffmpeg pkgs.i2c-tools ]";
      description = "Debian packages the appliance has besides its base, with all they depend on.";
    };
    variables = mkOption {
      default = { };
      example = { EDITOR = "nano"; };
      type = types.attrsOf (types.nullOr (types.oneOf [ (types.listOf (types.oneOf [ types.int types.str types.path ])) types.int types.str types.path ]));
      apply = lib.mapAttrs (_: v: if v == null then null else if builtins.isList v then lib.concatMapStringsSep ":" toString v else toString v);
      description = "Environment variables of login shells. Lists are joined with colons; null unsets nothing and is left out.";
    };
  };

  config.environment.etc."profile.d/lichen.sh" =
    let set = lib.filterAttrs (_: v: v != null) config.environment.variables; in
    mkIf (set != { }) { text = lib.concatStrings (lib.mapAttrsToList export set); };

  config.assertions =
    let
      files = lib.attrValues (lib.filterAttrs (_: e: e.enable) config.environment.etc);
      targets = lib.groupBy (e: e.target) files;
    in
    lib.mapAttrsToList
      (target: es: {
        assertion = lib.length es == 1;
        message = "environment.etc has ${toString (lib.length es)} files for /etc/${target}. Give them different `target's.";
      })
      targets;
}
