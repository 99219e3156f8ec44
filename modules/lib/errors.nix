# What the module system says when it refuses something.
#
# Each message is a function from facts to text, so that its wording is tested by value. One line per problem,
# and in it the option, the value and the file that set it.
lib:
let
  inherit (builtins) concatMap isAttrs isBool isFloat isInt isList isString tryEval length;
  root = toString ../.. + "/";
in
rec {
  showOption = path:
    let
      plain = name: builtins.match "[a-zA-Z_][a-zA-Z0-9_'-]*|<.*>|\\*|\\[.*]" name != null;
    in
    lib.concatMapStringsSep "." (name: if plain name then name else builtins.toJSON name) path;

  # Files by the names that their authors know: relative to the project, or to the flake they came from.
  showFile = file:
    let
      path = toString file;
      fromStore = builtins.match "${lib.escapeRegex builtins.storeDir}/[a-z0-9]{32}-[^/]*/(.*)" path;
    in
    if lib.hasPrefix root path then lib.removePrefix root path
    else if fromStore != null then builtins.head fromStore
    else path;

  showFiles = files: lib.concatStringsSep " and " (map showFile (lib.unique files));

  # Shallow and short: enough to recognise the value, never so deep that it evaluates the appliance.
  showValue = value:
    let
      forced = tryEval value;
      v = forced.value;
      brief = x:
        let t = tryEval x; y = t.value; in
        if !t.success then "<error>"
        else if isList y then (if y == [ ] then "[ ]" else "[ … ]")
        else if isAttrs y && !(y ? outPath) then (if y == { } then "{ }" else "{ … }")
        else scalar y;
      scalar = x:
        if isString x then
          let s = builtins.toJSON (lib.unsafeDiscardStringContext x); in
          if lib.stringLength s > 64 then builtins.substring 0 60 s + "…\"" else s
        else if isInt x || isFloat x then builtins.toJSON x
        else if isBool x then lib.boolToString x
        else if x == null then "null"
        else if builtins.isPath x then toString x
        else if builtins.isFunction x then "<function>"
        else if x ? outPath then "<package ${x.name or (lib.unsafeDiscardStringContext "${x.outPath}")}>"
        else "<${builtins.typeOf x}>";
      some = n: show: sep: xs: lib.concatStringsSep sep (map show (lib.take n xs)) + lib.optionalString (length xs > n) "${sep}…";
    in
    if !forced.success then "<error>"
    else if isList v then (if v == [ ] then "[ ]" else "[ ${some 4 brief " " v} ]")
    else if isAttrs v && !(v ? outPath) then
      (if v == { } then "{ }" else "{ ${some 4 (n: "${n} = ${brief v.${n}};") " " (builtins.attrNames v)} }")
    else scalar v;

  showDefs = defs: lib.concatMapStringsSep ", " (d: "${showValue d.value} in ${showFile d.file}") defs;

  # The known names nearest to a wrong one: at most two, equally near, none that is far off.
  nearest = name: known:
    let
      limit = lib.max 1 (lib.min 4 (lib.stringLength name / 5));
      far = a: b: let d = lib.stringLength a - lib.stringLength b; in d > limit || d < -limit;
      best = builtins.foldl' (d: s: lib.min d s.d) limit scored;
      scored = concatMap
        (k: if far k name then [ ] else let d = lib.levenshtein name k; in lib.optional (d <= limit) { inherit k d; })
        known;
    in
    lib.take 2 (map (s: s.k) (builtins.filter (s: s.d == best) scored));

  # ---- messages -------------------------------------------------------------------------------------------

  unknownOption = { loc, file, known ? [ ] }:
    let near = nearest (showOption loc) (map showOption known); in
    "The option `${showOption loc}' does not exist. Defined in ${showFile file}."
    + lib.optionalString (near != [ ])
      " Did you mean ${lib.concatMapStringsSep " or " (n: "`${n}'") near}?";

  notOfType = loc: type: defs:
    "A definition for option `${showOption loc}' is not of type `${type.description}'. Defined as ${showDefs defs}.";

  notAnOptionSet = loc: def:
    "The option set `${showOption loc}' takes options, not a value. Defined as ${showValue def.value} in ${showFile def.file}.";

  conflict = loc: defs:
    "The option `${showOption loc}' has conflicting definitions: ${showDefs defs}. Say which one wins with `lib.mkForce', or which gives way with `lib.mkDefault'.";

  notUnique = loc: defs:
    "The option `${showOption loc}' takes one definition, but is defined ${toString (length defs)} times: ${showDefs defs}.";

  noValue = loc: declarations:
    "The option `${showOption loc}' was accessed but has no value defined."
    + lib.optionalString (declarations != [ ]) " Declared in ${showFiles declarations}."
    + " Try setting the option.";

  readOnly = loc: defs:
    "The option `${showOption loc}' is read-only, but it is set: ${showDefs defs}.";

  declaredTwice = loc: files:
    "The option `${showOption loc}' is declared more than once, in ${showFiles files}, and the declarations cannot be merged.";

  optionWithin = loc: inner: outer:
    "The option `${showOption loc}' in ${showFiles outer} would be the parent of options declared in ${showFiles inner}.";

  notAModule = file: value:
    "A module must be a path, a function or an attribute set, but ${showFile file} has ${showValue value}.";

  unsupportedAttribute = file: name:
    "Module ${showFile file} has an unsupported attribute `${name}'. Next to a top-level `config' or `options', all definitions go into `config'.";

  missingArgument = name: key:
    "The module ${showFile key} takes the argument `${name}', which nobody gives. Set `_module.args.${name}' or `specialArgs'.";

  badCondition = loc: file: value:
    "The condition of `lib.mkIf' for option `${showOption loc}' in ${showFile file} is not a boolean but ${showValue value}.";

  failedAssertions = failed:
    let one = a: a.message + lib.optionalString (a ? file) " (asserted in ${showFile a.file})"; in
    if length failed == 1 then "Failed assertion: ${one (builtins.head failed)}"
    else "Failed assertions:\n${lib.concatMapStringsSep "\n" (a: "- ${one a}") failed}";
}
