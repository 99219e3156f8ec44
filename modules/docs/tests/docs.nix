# The option reference.
{ lib, modules }:
let
  inherit (lib) mkOption types;
  inherit (modules) docs;
  entries = docs.list (lib.evalModules {
    modules = [{
      _file = "modules/services/x.nix";
      options.services.x = {
        port = mkOption { type = types.port; default = 80; example = 8080; description = "The port of {file}`x`."; };
        hidden = mkOption { internal = true; };
        computed = mkOption { type = types.str; default = throw "needs an appliance"; defaultText = lib.literalExpression "config.y"; };
        of = mkOption {
          type = types.attrsOf (types.submodule ({ name, ... }: { options.n = mkOption { type = types.str; default = name; description = "N."; }; }));
          default = { };
        };
      };
    }];
  }).options;

  base = docs.list (modules.evalAppliance { modules = [ ]; pkgs.lichenctl.outPath = "/usr"; }).options;

  # --- the options that documents name
  root = ../../..;
  # Markdown files in a folder and below it.
  documents = folder: lib.concatMap
    (name:
      let path = folder + "/${name}"; kind = (builtins.readDir folder).${name}; in
      if kind == "directory" then documents path
      else lib.optional (kind == "regular" && lib.hasSuffix ".md" name) path)
    (builtins.attrNames (builtins.readDir folder));
  # Attributes that stand for any name, as NAME in `services.NAME`, are written in capitals.
  ours = "(^|.*[^A-Za-z0-9_./-])((services|networking|lichen|nix|users)\\.[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]).*";
  # From right to left, as a pattern takes as much as it can of what comes before.
  namedIn = line:
    let found = builtins.match ours line; in
    if found == null then [ ] else namedIn (builtins.elemAt found 0) ++ [ (builtins.elemAt found 1) ];
  # Files, arguments of the kernel, and the example of how to add a service.
  isOther = name: lib.hasSuffix ".toml" name || lib.hasSuffix ".nix" name || builtins.elem name [ "lichen.debug" "services.rings" "services.rings.enable" ];
  namedInFile = file: map (option: { inherit file option; })
    (lib.filter (name: !isOther name) (lib.concatMap namedIn (lib.splitString "\n" (builtins.readFile file))));
  # Also known is what a name begins, and what is within an option of any attributes.
  known = builtins.listToAttrs (lib.concatMap
    (o: let parts = lib.splitString "." o.name; in
      map (n: { name = lib.concatStringsSep "." (lib.take n parts); value = true; }) (lib.range 1 (lib.length parts)))
    base);
  isKnown = parts: names:
    if names == [ ] then true
    else
      let next = parts ++ [ (builtins.head names) ]; any = parts ++ [ "<name>" ]; rest = builtins.tail names; in
      if known ? ${lib.concatStringsSep "." next} then isKnown next rest
      else if known ? ${lib.concatStringsSep "." any} then isKnown any rest
      else builtins.match "[A-Z]+" (builtins.head names) != null;
in
{
  "every option that a document names is there" = {
    expr = map (n: "${toString n.file}: ${n.option}") (lib.filter (n: !isKnown [ ] (lib.splitString "." n.option))
      (lib.concatMap namedInFile ([ (root + "/README.md") (root + "/CHANGELOG.md") (root + "/SECURITY.md") ] ++ documents (root + "/docs") ++ documents (root + "/crates"))));
    expected = [ ];
  };
  "names are found in a line, wherever they are" = {
    expr = namedIn "`services.climate.enable = true;`, lichen.state.x and nix.settings.a-b; not xservices.no or modules/services.no";
    expected = [ "services.climate.enable" "lichen.state.x" "nix.settings.a-b" ];
  };
  "what is no option is noticed" = {
    expr = map (name: isKnown [ ] (lib.splitString "." name)) [ "services.climate.port" "lichen.healthChecks.x.http" "services.NAME" "services.climate.prot" "lichen.healthChecks.x.htpt" ];
    expected = [ true true true false false ];
  };
  "options and those of submodules are listed, internal ones are not" = {
    expr = map (o: o.name) entries;
    expected = [ "services.x.computed" "services.x.of" "services.x.of.<name>.n" "services.x.port" ];
  };
  "an entry says all there is to know" = {
    expr = lib.last entries;
    expected = {
      name = "services.x.port";
      type = "16 bit unsigned integer; between 0 and 65535 (both inclusive)";
      default = "80";
      example = "8080";
      description = "The port of `x`.";
      declarations = [ "modules/services/x.nix" ];
      readOnly = false;
    };
  };
  "defaults that need an appliance are told in words, or not at all" = { expr = map (o: o.default) entries; expected = [ "config.y" "{ }" "\"<name>\"" "80" ]; };
  "the page" = {
    expr = docs.markdown [ (lib.last entries) ];
    expected = ''
      # Options

      ## services.x.port

      The port of `x`.

      Type: 16 bit unsigned integer; between 0 and 65535 (both inclusive)

      Default: `80`

      Example: `8080`

      Declared in modules/services/x.nix

    '';
  };
  "every option of the base is described" = {
    expr = map (o: o.name) (lib.filter (o: o.description == "") base);
    expected = [ ];
  };
}
