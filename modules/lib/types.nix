# Option types.
#
# A type checks one definition shallowly (`check`), merges the definitions that won (`merge loc defs`), and
# says about both what is wrong as a value: `conflict loc defs` (null or a message) for its own level,
# `within loc defs` (a list) for what it contains.
lib:
let
  inherit (lib) errors;
  inherit (builtins)
    all concatLists elem filter foldl' head isAttrs isBool isFloat isInt isList isString
    length mapAttrs match zipAttrsWith;

  mkOptionType =
    { name
    , description ? name
    , descriptionClass ? null
    , check ? (_: true)
    , merge ? lib.mergeDefaultOption
    , conflict ? (_: _: null)
    , within ? (_: _: [ ])
    , emptyValue ? { }
    , getSubOptions ? (_: { })
    , getSubModules ? null
    , substSubModules ? (_: null)
    , nestedTypes ? { }
      # What two declarations of one option are merged by: the same name, and a payload that merges.
    , payload ? null
    , mergePayload ? (_: _: null)
    , rebuild ? null
    }: {
      _type = "option-type";
      inherit name description descriptionClass check merge conflict within emptyValue getSubOptions getSubModules
        substSubModules nestedTypes payload rebuild mergePayload;
    };

  # The type that both types agree on, or null.
  typeMerge = a: b:
    if a.name != b.name then null
    else if a.payload == null && b.payload == null then (if a.description == b.description then a else null)
    else if a.payload == null || b.payload == null || a.rebuild == null then null
    else
      let payload = a.mergePayload a.payload b.payload; in
      if payload == null then null else a.rebuild payload;
  mergeElem = a: b: typeMerge a b;

  phrase = type:
    if elem type.descriptionClass [ "composite" "conjunction" ] then "(${type.description})" else type.description;

  equal = { merge = lib.mergeEqualOption; conflict = loc: defs: if length defs == 1 then null else lib.conflictUnlessEqual loc defs; };
  one = { merge = lib.mergeOneOption; conflict = lib.conflictUnlessOne; };
  scalar = name: description: check: mkOptionType ({ inherit name description check; descriptionClass = "noun"; } // equal);

  between = name: lo: hi: describe: addCheck' types.int name describe (x: x >= lo && x <= hi);
  addCheck' = type: name: description: check:
    type // { inherit name description; check = x: type.check x && check x; };
  sized = signed: bits:
    let
      pow = foldl' (a: _: a * 2) 1 (lib.range 1 bits);
      lo = if signed then -(pow / 2) else 0;
      hi = if signed then pow / 2 - 1 else pow - 1;
    in
    between "${if signed then "" else "unsigned"}Int${toString bits}" lo hi
      "${toString bits} bit ${if signed then "signed" else "unsigned"} integer; between ${toString lo} and ${toString hi} (both inclusive)";

  # The values of a container, each with its own definitions: name → list of definitions.
  byName = defs: zipAttrsWith (_: d: d) (map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs);
  entries = loc: elemType: defs: concatLists (lib.imap1
    (n: d: lib.imap1
      (m: value: lib.mergeDefinitions (loc ++ [ "[definition ${toString n}-entry ${toString m}]" ]) elemType
        [{ inherit (d) file; inherit value; }])
      d.value)
    defs);

  attrsOfWith = { elemType, lazy ? false, placeholder ? "name" }: mkOptionType {
    name = if lazy then "lazyAttrsOf" else "attrsOf";
    description = (if lazy then "lazy " else "") + "attribute set of ${phrase elemType}";
    descriptionClass = "composite";
    check = isAttrs;
    merge = loc: defs:
      let merged = mapAttrs (name: d: lib.mergeDefinitions (loc ++ [ name ]) elemType d) (byName defs); in
      if lazy then mapAttrs (_: m: if m.isDefined then m.value else elemType.emptyValue.value or m.value) merged
      else mapAttrs (_: m: m.value) (lib.filterAttrs (_: m: m.isDefined) merged);
    within = loc: defs: concatLists (lib.mapAttrsToList
      (name: d: (lib.mergeDefinitions (loc ++ [ name ]) elemType d).problems)
      (byName defs));
    emptyValue = { value = { }; };
    getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "<${placeholder}>" ]);
    inherit (elemType) getSubModules;
    substSubModules = m: attrsOfWith { elemType = elemType.substSubModules m; inherit lazy placeholder; };
    nestedTypes = { inherit elemType; };
    payload = elemType;
    mergePayload = mergeElem;
    rebuild = elemType: attrsOfWith { inherit elemType lazy placeholder; };
  };

  submoduleWith = { modules, specialArgs ? { }, shorthandOnlyDefinesConfig ? false, description ? null, class ? null }:
    let
      asModule = def:
        if isAttrs def.value && shorthandOnlyDefinesConfig then { _file = def.file; config = def.value; }
        else { _file = def.file; imports = [ def.value ]; };
      eval = loc: defs: lib.evalModules {
        inherit specialArgs;
        prefix = loc;
        modules = modules ++ [{ _file = "<submodule>"; _module.args.name = lib.mkOptionDefault (lib.last loc); }] ++ map asModule defs;
      };
    in
    mkOptionType {
      name = "submodule";
      description = if description != null then description else "submodule";
      descriptionClass = "noun";
      check = x: isAttrs x || lib.isFunction x || builtins.isPath x || (isString x && lib.hasPrefix "/" x);
      merge = loc: defs: (eval loc defs).config;
      within = loc: defs: (eval loc defs).problems;
      emptyValue = { value = { }; };
      getSubOptions = prefix:
        let
          docs = lib.evalModules {
            inherit prefix specialArgs;
            modules = modules ++ [{ _file = "<submodule>"; _module.args.name = lib.mkOptionDefault "<name>"; }];
          };
        in
        docs.options // lib.optionalAttrs (docs.freeformType != null) {
          _freeformOptions = docs.freeformType.getSubOptions prefix;
        };
      getSubModules = modules;
      substSubModules = m: submoduleWith { modules = m; inherit specialArgs shorthandOnlyDefinesConfig description class; };
      payload = { inherit modules specialArgs shorthandOnlyDefinesConfig description class; };
      mergePayload = a: b: a // {
        modules = a.modules ++ b.modules;
        specialArgs = a.specialArgs // b.specialArgs;
      };
      rebuild = submoduleWith;
    };

  types = rec {
    inherit attrsOfWith submoduleWith;

    unspecified = mkOptionType { name = "unspecified"; description = "unspecified value"; descriptionClass = "noun"; };
    raw = mkOptionType ({ name = "raw"; description = "raw value"; descriptionClass = "noun"; } // one);
    anything = mkOptionType {
      name = "anything";
      description = "anything";
      descriptionClass = "noun";
      merge = loc: defs:
        let
          kind = v: if isAttrs v && lib.isStringLike v then "stringCoercibleSet" else builtins.typeOf v;
          common = kind (head defs).value;
        in
        if !(all (d: kind d.value == common) defs) then throw (errors.conflict loc defs)
        else if common == "set" then (lazyAttrsOf anything).merge loc defs
        else if common == "stringCoercibleSet" then lib.mergeOneOption loc defs
        else if common == "lambda" && length defs > 1 then
          x: anything.merge (loc ++ [ "<function body>" ]) (map (d: d // { value = d.value x; }) defs)
        else lib.mergeEqualOption loc defs;
    };

    bool = scalar "bool" "boolean" isBool;
    boolByOr = mkOptionType {
      name = "boolByOr";
      description = "boolean (merged using or)";
      check = isBool;
      merge = _: builtins.foldl' (a: d: a || d.value) false;
    };
    int = scalar "int" "signed integer" isInt;
    float = scalar "float" "floating point number" isFloat;
    number = either int float;
    numbers = {
      between = lo: hi: addCheck' number "numberBetween" "integer or floating point number between ${builtins.toJSON lo} and ${builtins.toJSON hi} (both inclusive)" (x: x >= lo && x <= hi);
      nonnegative = addCheck' number "numberNonnegative" "nonnegative integer or floating point number, meaning >=0" (x: x >= 0);
      positive = addCheck' number "numberPositive" "positive integer or floating point number, meaning >0" (x: x > 0);
    };
    ints = {
      between = lo: hi: between "intBetween" lo hi "integer between ${toString lo} and ${toString hi} (both inclusive)";
      unsigned = addCheck' int "unsignedInt" "unsigned integer, meaning >=0" (x: x >= 0);
      positive = addCheck' int "positiveInt" "positive integer, meaning >0" (x: x > 0);
      u8 = sized false 8;
      u16 = sized false 16;
      u32 = sized false 32;
      s8 = sized true 8;
      s16 = sized true 16;
      s32 = sized true 32;
    };
    port = ints.u16;

    str = scalar "str" "string" isString;
    nonEmptyStr = scalar "nonEmptyStr" "non-empty string" (x: isString x && match "[ \t\n]*" x == null);
    singleLineStr = mkOptionType {
      name = "singleLineStr";
      description = "(optionally newline-terminated) single-line string";
      check = x: isString x && match "[^\n\r]*\n?" x != null;
      merge = loc: defs: lib.removeSuffix "\n" (lib.mergeEqualOption loc defs);
    };
    strMatching = pattern: scalar "strMatching ${builtins.toJSON pattern}" "string matching the pattern ${pattern}"
      (x: isString x && match pattern x != null);
    passwdEntry = type: type // {
      name = "passwdEntry ${type.name}";
      description = "${phrase type}, not containing newlines or colons";
      check = x: type.check x && !(lib.hasInfix ":" x) && !(lib.hasInfix "\n" x);
    };
    separatedString = sep: mkOptionType {
      name = "separatedString";
      description = "strings concatenated with ${builtins.toJSON sep}";
      descriptionClass = "noun";
      check = isString;
      merge = _: defs: lib.concatStringsSep sep (lib.getValues defs);
    };
    lines = separatedString "\n";
    commas = separatedString ",";
    envVar = separatedString ":";
    string = separatedString "";

    attrs = mkOptionType {
      name = "attrs";
      description = "attribute set";
      descriptionClass = "noun";
      check = isAttrs;
      merge = _: foldl' (acc: d: acc // d.value) { };
      emptyValue = { value = { }; };
    };
    path = mkOptionType ({
      name = "path";
      description = "absolute path";
      descriptionClass = "noun";
      check = x: lib.isStringLike x && lib.hasPrefix "/" (toString x);
    } // equal);
    pathInStore = mkOptionType ({
      name = "pathInStore";
      description = "path in the Nix store";
      descriptionClass = "noun";
      check = x: lib.isStringLike x && match "${lib.escapeRegex builtins.storeDir}/[^.].*" (toString x) != null;
    } // equal);
    # Anything that stands for an installed package: a derivation, a store path, or a Debian package or crate,
    # which is an attribute set whose string form is /usr.
    package = mkOptionType ({
      name = "package";
      description = "package";
      descriptionClass = "noun";
      check = x: lib.isDerivation x || (isAttrs x && x ? outPath) || lib.isStorePath x;
    } // one);
    shellPackage = package;
    optionType = mkOptionType ({
      name = "optionType";
      description = "optionType";
      check = lib.isOptionType;
    } // {
      merge = loc: defs:
        let merged = foldl' (a: d: if a == null then null else typeMerge a d.value) (head defs).value (builtins.tail defs); in
        if merged == null then throw (errors.conflict loc defs) else merged;
    });

    enum = values: mkOptionType ({
      name = "enum";
      description =
        if values == [ ] then "impossible (empty enum)"
        else if length values == 1 then "value ${errors.showValue (head values)} (singular enum)"
        else "one of ${lib.concatMapStringsSep ", " errors.showValue values}";
      descriptionClass = if length values < 2 then "noun" else "conjunction";
      check = x: elem x values;
      payload = values;
      mergePayload = a: b: lib.unique (a ++ b);
      rebuild = enum;
    } // equal);

    nullOr = elemType: mkOptionType {
      name = "nullOr";
      description = "null or ${if elemType.descriptionClass == "conjunction" then "(${elemType.description})" else elemType.description}";
      descriptionClass = "conjunction";
      check = x: x == null || elemType.check x;
      merge = loc: defs:
        if all (d: d.value == null) defs then null
        else if lib.any (d: d.value == null) defs then throw (errors.conflict loc defs)
        else elemType.merge loc defs;
      conflict = loc: defs:
        if all (d: d.value == null) defs then null
        else if lib.any (d: d.value == null) defs then errors.conflict loc defs
        else elemType.conflict loc defs;
      within = loc: defs: if lib.any (d: d.value == null) defs then [ ] else elemType.within loc defs;
      emptyValue = { value = null; };
      inherit (elemType) getSubOptions getSubModules;
      substSubModules = m: nullOr (elemType.substSubModules m);
      nestedTypes = { inherit elemType; };
      payload = elemType;
      mergePayload = mergeElem;
      rebuild = nullOr;
    };

    listOf = elemType: mkOptionType {
      name = "listOf";
      description = "list of ${phrase elemType}";
      descriptionClass = "composite";
      check = isList;
      merge = loc: defs: map (m: m.value) (filter (m: m.isDefined) (entries loc elemType defs));
      within = loc: defs: lib.concatMap (m: m.problems) (entries loc elemType defs);
      emptyValue = { value = [ ]; };
      getSubOptions = prefix: elemType.getSubOptions (prefix ++ [ "*" ]);
      inherit (elemType) getSubModules;
      substSubModules = m: listOf (elemType.substSubModules m);
      nestedTypes = { inherit elemType; };
      payload = elemType;
      mergePayload = mergeElem;
      rebuild = listOf;
    };
    nonEmptyListOf = elemType: addCheck (listOf elemType) (x: x != [ ]) // {
      description = "non-empty ${(listOf elemType).description}";
      emptyValue = { };
      substSubModules = m: nonEmptyListOf (elemType.substSubModules m);
    };
    attrsOf = elemType: attrsOfWith { inherit elemType; };
    lazyAttrsOf = elemType: attrsOfWith { inherit elemType; lazy = true; };

    submodule = modules: submoduleWith { shorthandOnlyDefinesConfig = true; modules = lib.toList modules; };

    either = a: b:
      let
        # Which side the definitions are on; null when they are mixed.
        side = defs: if all (d: a.check d.value) defs then a else if all (d: b.check d.value) defs then b else null;
      in
      mkOptionType {
        name = "either";
        description = "${phraseEither a} or ${phraseEither b}";
        descriptionClass = "conjunction";
        check = x: a.check x || b.check x;
        merge = loc: defs: let t = side defs; in if t == null then lib.mergeOneOption loc defs else t.merge loc defs;
        conflict = loc: defs: let t = side defs; in if t == null then errors.conflict loc defs else t.conflict loc defs;
        within = loc: defs: let t = side defs; in if t == null then [ ] else t.within loc defs;
        getSubOptions = prefix: a.getSubOptions prefix // b.getSubOptions prefix;
        nestedTypes = { left = a; right = b; };
        payload = { inherit a b; };
        mergePayload = x: y:
          let m = { a = typeMerge x.a y.a; b = typeMerge x.b y.b; }; in
          if m.a == null || m.b == null then null else m;
        rebuild = p: either p.a p.b;
      };
    phraseEither = t: if t.descriptionClass == "composite" then "(${t.description})" else t.description;
    oneOf = ts: foldl' either (head ts) (builtins.tail ts);

    coercedTo = from: coerce: to:
      let
        done = map (d: d // { value = if from.check d.value then coerce d.value else d.value; });
      in
      mkOptionType {
        name = "coercedTo";
        description = "${phrase to} or ${phrase from} convertible to it";
        descriptionClass = "conjunction";
        check = x: (from.check x && to.check (coerce x)) || to.check x;
        merge = loc: defs: to.merge loc (done defs);
        conflict = loc: defs: to.conflict loc (done defs);
        within = loc: defs: to.within loc (done defs);
        inherit (to) emptyValue getSubOptions getSubModules;
        substSubModules = m: coercedTo from coerce (to.substSubModules m);
        nestedTypes = { coercedType = from; finalType = to; };
      };
    functionTo = elemType: mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${phrase elemType}";
      descriptionClass = "composite";
      check = lib.isFunction;
      merge = loc: defs: args: (lib.mergeDefinitions (loc ++ [ "<function body>" ]) elemType
        (map (d: d // { value = d.value args; }) defs)).value;
    };
    uniq = unique { message = ""; };
    unique = { message }: type: type // {
      name = "unique";
      merge = lib.mergeUniqueOption { inherit message; merge = type.merge; };
      conflict = lib.conflictUnlessOne;
    };
    addCheck = type: check: type // { check = x: type.check x && check x; };
  };
in
types // { inherit mkOptionType typeMerge; }
