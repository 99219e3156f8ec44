# What modules are written with: options, the wrappers around their definitions, and how definitions merge
# that must be equal or alone.
lib:
let
  inherit (lib) errors;
  inherit (builtins) head length tail all;
in
rec {
  mkOption = args@{ type ? null, default ? null, defaultText ? null, example ? null, description ? null
    , relatedPackages ? null, internal ? null, visible ? null, readOnly ? null, apply ? null, pathType ? null }:
    args // { _type = "option"; };
  mkEnableOption = name: mkOption {
    type = lib.types.bool;
    default = false;
    example = true;
    description = "Whether to enable ${name}.";
  };
  # `default` is an attribute name, or a path of them, in `pkgs`.
  mkPackageOption = pkgs: name: { default ? name, nullable ? false, example ? null, extraDescription ? "", pkgsText ? "pkgs" }:
    let
      path = lib.toList default;
      known = builtins.isList default || builtins.isString default;
    in
    mkOption ({
      type = with lib.types; if nullable then nullOr package else package;
      description = "The ${lib.concatStringsSep "." (lib.toList name)} package to use."
        + lib.optionalString (extraDescription != "") " ${extraDescription}";
    } // lib.optionalAttrs known {
      default = lib.getAttrFromPath path pkgs;
      defaultText = literalExpression "${pkgsText}.${lib.concatStringsSep "." path}";
    } // lib.optionalAttrs (!known) { default = null; }
      // lib.optionalAttrs (example != null) { inherit example; });
  mkPackageOptionMD = mkPackageOption;
  mkSinkUndeclaredOptions = args: mkOption ({
    internal = true;
    visible = false;
    default = false;
    description = "Sink for option definitions.";
    type = lib.mkOptionType { name = "sink"; check = _: true; merge = _: _: false; };
    apply = _: throw "Option value is not readable because the option is not declared.";
  } // args);

  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalMD = text: { _type = "literalMD"; inherit text; };
  literalExample = literalExpression;
  mdDoc = text: text;

  # Definitions. Lower priority numbers win; equal ones merge.
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  defaultOverridePriority = 100;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = mkOrder 500;
  defaultOrderPriority = 1000;
  mkAfter = mkOrder 1500;
  mkAssert = assertion: message: content: mkIf (if assertion then true else throw "\nFailed assertion: ${message}") content;
  # A definition that brings its own file, for modules that pass definitions on.
  mkDefinition = args: args // { _type = "definition"; };

  isType = type: x: x._type or null == type;
  setType = type: x: x // { _type = type; };
  isOption = isType "option";
  isOptionType = isType "option-type";
  showOption = errors.showOption;
  showFiles = errors.showFiles;
  getValues = map (d: d.value);
  getFiles = map (d: d.file);

  # Every option of a tree, as a list; internal ones included, those inside submodules not.
  collectOptions = tree:
    if isOption tree then [ tree ]
    else if builtins.isAttrs tree then builtins.concatMap collectOptions (builtins.attrValues (removeAttrs tree [ "_module" ]))
    else [ ];

  # Merges. Each has a twin that gives the error, or null, as a value: `conflict…`.
  conflictUnlessOne = loc: defs: if length defs == 1 then null else errors.notUnique loc defs;
  conflictUnlessEqual = loc: defs:
    if all (d: d.value == (head defs).value) (tail defs) then null else errors.conflict loc defs;
  orThrow = problem: value: if problem != null then throw problem else value;
  mergeOneOption = loc: defs: orThrow (conflictUnlessOne loc defs) (head defs).value;
  mergeUniqueOption = { message, merge ? mergeOneOption }: loc: defs:
    if length defs == 1 then merge loc defs else throw "${errors.notUnique loc defs} ${message}";
  mergeEqualOption = loc: defs:
    if length defs == 1 then (head defs).value else orThrow (conflictUnlessEqual loc defs) (head defs).value;
  mergeDefaultOption = loc: defs:
    let
      values = getValues defs;
      every = pred: all pred values;
    in
    if length values == 1 then head values
    else if every builtins.isFunction then x: mergeDefaultOption loc (map (d: d // { value = d.value x; }) defs)
    else if every builtins.isList then builtins.concatLists values
    else if every builtins.isAttrs then lib.mergeAttrsList values
    else if every builtins.isBool then builtins.any lib.id values
    else if every builtins.isString then lib.concatStrings values
    else throw (errors.conflict loc defs);
}
