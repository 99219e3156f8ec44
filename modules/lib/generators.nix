# Text formats, as nixpkgs' lib.generators.
lib:
let
  inherit (builtins) isBool isInt isFloat isString isList;
in
rec {
  mkValueStringDefault = { }: v:
    if isInt v then toString v
    else if lib.isStringLike v then "${v}"
    else if true == v then "true"
    else if false == v then "false"
    else if null == v then "null"
    else if isFloat v then toString v
    else throw "generators.mkValueStringDefault: ${builtins.typeOf v} is not supported";

  mkKeyValueDefault = { mkValueString ? mkValueStringDefault { } }: sep: k: v:
    "${lib.escape [ sep ] k}${sep}${mkValueString v}";

  toKeyValue = { mkKeyValue ? mkKeyValueDefault { } "=", listsAsDuplicateKeys ? false, indent ? "" }: set:
    let
      line = k: v: indent + mkKeyValue k v + "\n";
      lines = if listsAsDuplicateKeys then k: v: map (line k) (lib.toList v) else k: v: [ (line k v) ];
    in
    lib.concatStrings (lib.concatLists (lib.mapAttrsToList lines set));

  toINI =
    { mkSectionName ? (name: lib.escape [ "[" "]" ] name)
    , mkKeyValue ? mkKeyValueDefault { } "="
    , listsAsDuplicateKeys ? false
    }: sections:
    lib.concatStringsSep "\n" (lib.mapAttrsToList
      (name: values: "[${mkSectionName name}]\n" + toKeyValue { inherit mkKeyValue listsAsDuplicateKeys; } values)
      sections);

  toINIWithGlobalSection = args: { globalSection, sections ? { } }:
    (if globalSection == { } then "" else toKeyValue (removeAttrs args [ "mkSectionName" ]) globalSection + "\n")
    + toINI args sections;

  toJSON = { }: builtins.toJSON;
  toYAML = { }: builtins.toJSON;

  # Nix syntax; what option references and error messages show.
  toPretty = { multiline ? false, indent ? "" }: v:
    let
      inner = toPretty { inherit multiline; indent = indent + "  "; };
      nl = if multiline then "\n${indent}  " else " ";
      end = if multiline then "\n${indent}" else " ";
      key = k: if builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*" k != null then k else builtins.toJSON k;
    in
    if v._type or null == "literalExpression" then v.text
    else if isInt v || isFloat v then builtins.toJSON v
    else if isBool v then lib.boolToString v
    else if isString v then
      (if multiline && lib.hasInfix "\n" v then "''\n${indent}  ${lib.replaceStrings [ "\n" ] [ "\n${indent}  " ] v}''"
      else lib.replaceStrings [ "\${" ] [ "\\\${" ] (builtins.toJSON (lib.unsafeDiscardStringContext v)))
    else if null == v then "null"
    else if builtins.isPath v then toString v
    else if isList v then (if v == [ ] then "[ ]" else "[${nl}${lib.concatMapStringsSep nl inner v}${end}]")
    else if builtins.isFunction v then "<function>"
    else if lib.isDerivation v || v ? outPath then "<${v.name or "package"}>"
    else if v == { } then "{ }"
    else "{${nl}${lib.concatStringsSep nl (lib.mapAttrsToList (k: x: "${key k} = ${inner x};") v)}${end}}";
}
