# The evaluator: modules in, one configuration out.
#
# Three steps, kept apart because each must stay lazy in what follows it: collect the modules (imports may not
# depend on `config`), match definitions to declarations by name (names may not depend on values), merge each
# option's definitions by its type (only when somebody reads it).
lib:
let
  inherit (lib) errors isOption isType;
  inherit (builtins)
    any attrNames attrValues concatLists concatMap elem filter foldl' functionArgs head isAttrs isBool
    isPath isString length mapAttrs partition removeAttrs tail zipAttrsWith;

  moduleKeys = [ "_class" "_file" "key" "disabledModules" "imports" "options" "config" "freeformType" "meta" ];

  # ---- collecting -----------------------------------------------------------------------------------------

  # A module argument is looked up when it is used, so that `_module.args` can be set by any module.
  applyArgs = args: config: key: f:
    let
      wanted = mapAttrs
        (name: _: builtins.addErrorContext "while evaluating the module argument `${name}' in ${errors.showFile key}:"
          (args.${name} or config._module.args.${name} or (throw (errors.missingArgument name key))))
        (functionArgs f);
    in
    f (args // wanted);

  # Any form of module to { file, key, disabled, imports, options, config }.
  normalise = file: key: m:
    let
      structured = m ? config || m ? options;
      strange = attrNames (removeAttrs m moduleKeys);
      body = if structured then m.config or { } else removeAttrs m [ "_class" "_file" "key" "disabledModules" "imports" "freeformType" ];
      extra = lib.optional (m ? freeformType) { _module.freeformType = m.freeformType; }
        ++ lib.optional (structured && m ? meta) { inherit (m) meta; };
    in
    if isType "if" m || isType "merge" m || isType "override" m then
      normalise file key { config = m; }
    else if structured && strange != [ ] then throw (errors.unsupportedAttribute (m._file or file) (head strange))
    else {
      file = toString (m._file or file);
      key = toString (m.key or key);
      disabled = m.disabledModules or [ ];
      imports = m.imports or [ ];
      options = m.options or { };
      config = if extra == [ ] then body else lib.mkMerge ([ body ] ++ extra);
    };

  load = args: config: parentFile: parentKey: n: m:
    let
      anonymous = "${parentKey}:anon-${toString n}";
      fromFile = isPath m || (isString m && lib.hasPrefix "/" m) || (isAttrs m && m ? outPath);
      file = toString (if isAttrs m then m.outPath else m);
      value = if fromFile then import file else m;
      call = key: f: applyArgs args config key f;
      at = if fromFile then file else parentFile;
      key = if fromFile then file else anonymous;
    in
    if lib.isFunction value then
      (if isAttrs value then normalise (value._file or at) key (call at (value.__functor value))
      else normalise at key (call at value))
    else if isAttrs value then normalise at key value
    else throw (errors.notAModule at m);

  # Breadth first, each key once: an import that two modules share counts once.
  collect = args: config: modules:
    let
      loadAll = parentFile: parentKey: lib.imap1 (load args config parentFile parentKey);
      all = builtins.genericClosure {
        startSet = map asItem (loadAll "<unknown-file>" "" modules);
        operator = item: map asItem (loadAll item.module.file item.module.key item.module.imports);
      };
      asItem = module: { inherit (module) key; inherit module; };
      disabled = concatMap (i: map (d: toString (if isAttrs d then d.key else d)) i.module.disabled) all;
    in
    map (i: i.module) (filter (i: !(elem i.key disabled)) all);

  # ---- matching -------------------------------------------------------------------------------------------

  # mkIf, mkMerge and mkOverride around a set of definitions move onto each of them.
  pushDown = cfg:
    if cfg._type or null == "merge" then concatMap pushDown cfg.contents
    else if cfg._type or null == "if" then map (mapAttrs (_: lib.mkIf cfg.condition)) (pushDown cfg.content)
    else if cfg._type or null == "override" then map (mapAttrs (_: lib.mkOverride cfg.priority)) (pushDown cfg.content)
    else [ cfg ];

  # { options: the tree with values; unmatched: definitions nobody declared }
  match = prefix: decls: defs:
    let
      declsByName = zipAttrsWith (_: d: d) (map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) decls);
      defsByName = zipAttrsWith (_: d: d) (map (d: mapAttrs (_: value: { inherit (d) file; inherit value; }) d.value) defs);

      matched = mapAttrs
        (name: ds:
          let
            loc = prefix ++ [ name ];
            split = partition (d: isOption d.value) ds;
            mine = defsByName.${name} or [ ];
            bad = filter (d: !(isAttrs d.value)) groups;
            groups = concatMap (d: map (value: { inherit (d) file; inherit value; }) (pushDown d.value)) mine;
          in
          if split.wrong == [ ] then { options = evalOption loc ds mine; unmatched = [ ]; }
          else if split.right != [ ] then throw (errors.optionWithin loc (map (d: d.file) split.wrong) (map (d: d.file) split.right))
          else match loc ds (if bad == [ ] then groups else throw (errors.notAnOptionSet loc (head bad))))
        declsByName;
      strangers = lib.filterAttrs (name: _: !(declsByName ? ${name})) defsByName;
    in
    {
      options = mapAttrs (_: m: m.options) matched;
      unmatched = concatMap (m: m.unmatched) (attrValues matched)
        ++ concatLists (lib.mapAttrsToList (name: map (d: d // { loc = prefix ++ [ name ]; })) strangers);
    };

  # ---- merging --------------------------------------------------------------------------------------------

  # mkIf and mkMerge around one option's value.
  discharge = loc: file: value:
    if value._type or null == "merge" then concatMap (discharge loc file) value.contents
    else if value._type or null == "if" then
      (if !(isBool value.condition) then throw (errors.badCondition loc file value.condition)
      else if value.condition then discharge loc file value.content else [ ])
    else if value._type or null == "definition" then [{ inherit (value) file value; }]
    else [{ inherit file value; }];

  priorityOf = value: if value._type or null == "override" then value.priority else lib.defaultOverridePriority;

  keepHighest = defs:
    let
      highest = foldl' (p: d: lib.min p (priorityOf d.value)) 9999 defs;
      strip = d: if d.value._type or null == "override" then d // { value = d.value.content; } else d;
    in
    { inherit highest; defs = map strip (filter (d: priorityOf d.value == highest) defs); };

  inOrder = defs:
    let
      strip = d:
        if d.value._type or null == "order" then d // { value = d.value.content; inherit (d.value) priority; }
        else d // { priority = lib.defaultOrderPriority; };
    in
    if any (d: d.value._type or null == "order") defs
    then map (d: removeAttrs d [ "priority" ]) (builtins.sort (a: b: a.priority < b.priority) (map strip defs))
    else defs;

  # The value of one option, and what is wrong with it. Nothing is thrown before `value` is read.
  mergeDefinitions = loc: type: mergeDefinitionsOf { inherit loc type; };
  mergeDefinitionsOf = { loc, type, declarations ? [ ] }: defs:
    let
      kept = keepHighest (concatMap (d: discharge loc d.file d.value) defs);
      final = inOrder kept.defs;
      isDefined = final != [ ];
      invalid = filter (d: !(type.check d.value)) final;
      mismatch =
        if invalid != [ ] then errors.notOfType loc type invalid
        else type.conflict loc final;
      problem = if isDefined then mismatch else errors.noValue loc declarations;
    in
    {
      inherit isDefined problem;
      highestPrio = kept.highest;
      definitions = final;
      # Everything wrong, here and inside; a missing value is no fault until somebody reads it.
      problems = if !isDefined then [ ] else if mismatch != null then [ mismatch ] else type.within loc final;
      value = if problem != null then throw problem else type.merge loc final;
    };

  # Several declarations of one option become one, if their types agree and they set different things.
  mergeDeclarations = loc: decls:
    let
      files = map (d: d.file) decls;
      both = a: b:
        let
          shared = attrNames (builtins.intersectAttrs (removeAttrs a [ "_type" "type" "description" "internal" "visible" ]) b);
          type = if a ? type && b ? type then lib.types.typeMerge a.type b.type else a.type or b.type or null;
        in
        if shared != [ ] || (a ? type && b ? type && type == null) then throw (errors.declaredTwice loc files)
        else a // b // lib.optionalAttrs (type != null) { inherit type; };
    in
    foldl' both (head decls).value (map (d: d.value) (tail decls));

  evalOption = loc: decls: defs:
    let
      decl = mergeDeclarations loc decls;
      type = decl.type or lib.types.unspecified;
      declarations = map (d: d.file) decls;
      merged = mergeDefinitionsOf { inherit loc type declarations; }
        (lib.optional (decl ? default) { file = head declarations; value = lib.mkOptionDefault decl.default; } ++ defs);
      overwritten = decl.readOnly or false && length defs + (if decl ? default then 1 else 0) > 1;
      refusal = if overwritten then errors.readOnly loc (concatMap (d: discharge loc d.file d.value) defs) else null;
      raw = builtins.addErrorContext "while evaluating the option `${errors.showOption loc}':"
        (if refusal != null then throw refusal else merged.value);
    in
    decl // {
      _type = "option";
      inherit loc type declarations;
      inherit (merged) isDefined highestPrio;
      options = map (d: d.value) decls;
      definitions = map (d: d.value) merged.definitions;
      definitionsWithLocations = merged.definitions;
      files = map (d: d.file) merged.definitions;
      # The problem of this option alone (null or a message); all of them, also inside its value.
      problem = if refusal != null then refusal else merged.problem;
      problems = if refusal != null then [ refusal ] else merged.problems;
      value = if decl ? apply then decl.apply raw else raw;
      __toString = _: errors.showOption loc;
    };

  # ---- putting together -----------------------------------------------------------------------------------

  internals = prefix: {
    _file = toString ./modules.nix;
    key = "lib/modules";
    options._module = {
      args = lib.mkOption {
        type = lib.types.lazyAttrsOf lib.types.raw;
        default = { };
        internal = true;
        description = "Further arguments for every module.";
      };
      check = lib.mkOption {
        type = lib.types.bool;
        default = true;
        internal = true;
        description = "Whether a definition of an option that does not exist is an error.";
      };
      freeformType = lib.mkOption {
        type = lib.types.nullOr lib.types.optionType;
        default = null;
        internal = true;
        description = "The type of definitions that match no declared option.";
      };
    };
  };

  # A definition nobody declared, named by its full path as far as the path is certain.
  leaf = u:
    let
      names = attrNames u.value;
      deeper = isAttrs u.value && !(u.value ? _type) && !(u.value ? outPath) && length names == 1;
    in
    if deeper then leaf (u // { loc = u.loc ++ names; value = u.value.${head names}; }) else u;

  evalModules = args@{ modules, prefix ? [ ], specialArgs ? { }, check ? true, class ? null, ... }:
    let
      moduleArgs = { inherit lib options config specialArgs; _prefix = prefix; } // specialArgs;
      collected = collect moduleArgs config ([ (internals prefix) ] ++ modules);
      # Reversed, as in NixOS: what is imported later, or deeper, comes first in lists.
      ordered = lib.reverseList collected;
      matched = match prefix
        (map (m: { inherit (m) file; value = m.options; }) ordered)
        (concatMap (m: map (value: { inherit (m) file; inherit value; }) (pushDown m.config)) ordered);
      inherit (matched) options;

      values = tree: if isOption tree then tree.value else mapAttrs (_: values) tree;
      declared = mapAttrs (_: values) options;
      freeformType = declared._module.freeformType;
      # Freeform definitions keep their place in the tree; the type merges them as one set.
      freeform = freeformType.merge prefix
        (map (u: { inherit (u) file; value = lib.setAttrByPath (lib.drop (length prefix) u.loc) u.value; }) matched.unmatched);
      config =
        if freeformType == null || matched.unmatched == [ ] then declared
        else lib.recursiveUpdate freeform declared;

      known = map (o: o.loc) (lib.collectOptions options) ++ groupsOf prefix options;
      unknown = lib.unique (map
        (u: let l = leaf u; in errors.unknownOption { inherit (l) loc file; inherit known; })
        matched.unmatched);
      strict = check && declared._module.check && freeformType == null;
      strangers = if strict && matched.unmatched != [ ] then unknown else [ ];
    in
    {
      _type = "configuration";
      inherit options freeformType class;
      config = if strangers != [ ] then throw (lib.concatStringsSep "\n" strangers) else removeAttrs config [ "_module" ];
      problems = strangers ++ problemsOf options
        ++ lib.optionals (freeformType != null && matched.unmatched != [ ]) (freeformType.within prefix
        (map (u: { inherit (u) file; value = lib.setAttrByPath (lib.drop (length prefix) u.loc) u.value; }) matched.unmatched));
      extendModules = { modules ? [ ], specialArgs ? { }, prefix ? args.prefix or [ ] }: evalModules (args // {
        inherit prefix;
        modules = args.modules ++ modules;
        specialArgs = args.specialArgs or { } // specialArgs;
      });
      _module = { inherit (declared._module) args check freeformType; };
    };

  # Everything wrong with the definitions of a tree of options. An option that is computed from a
  # faulty one cannot be checked; the fault is reported where it is.
  problemsOf = options: concatMap
    (o: let t = builtins.tryEval (builtins.deepSeq o.problems o.problems); in if t.success then t.value else [ ])
    (lib.collectOptions options);

  groupsOf = prefix: tree: concatLists (lib.mapAttrsToList
    (name: v: if isOption v || name == "_module" then [ ] else [ (prefix ++ [ name ]) ] ++ groupsOf (prefix ++ [ name ]) v)
    tree);

  # ---- moved and removed options --------------------------------------------------------------------------

  mkAliasDefinitions = lib.mkAliasAndWrapDefinitions lib.id;
  mkAliasAndWrapDefinitions = wrap: option: lib.mkIf option.isDefined (wrap (lib.mkMerge option.definitions));
  mkAliasAndWrapDefsWithPriority = wrap: option:
    lib.mkIf option.isDefined (wrap (lib.mkMerge (map
      (d: lib.mkDefinition { inherit (d) file; value = lib.mkOverride option.highestPrio d.value; })
      option.definitionsWithLocations)));
  # A definition computed from the merged definitions of another option, with that option's priority.
  mkDerivedConfig = option: f: lib.mkOverride option.highestPrio (f option.value);
  mkAliasIfDef = option: lib.mkIf option.isDefined;

  rename = { from, to, warn }: { config, options, ... }:
    let
      old = lib.getAttrFromPath from options;
      new = lib.getAttrFromPath to config;
    in
    {
      options = lib.setAttrByPath from (lib.mkOption ({
        visible = false;
        description = "Alias of {option}`${errors.showOption to}`.";
        apply = _: new;
      } // lib.optionalAttrs (lib.hasAttrByPath to options) { inherit (lib.getAttrFromPath to options) type; }));
      config = lib.mkMerge [
        (lib.optionalAttrs (warn && options ? warnings) {
          warnings = lib.mkIf old.isDefined [
            "The option `${errors.showOption from}' defined in ${errors.showFiles old.files} has been renamed to `${errors.showOption to}'."
          ];
        })
        (lib.setAttrByPath to (lib.mkAliasAndWrapDefsWithPriority lib.id old))
      ];
    };

  # With the file each came from, where the options are at hand.
  failedAssertions = { config, options ? { }, ... }:
    filter (a: !a.assertion) (
      if options ? assertions
      then concatMap (d: map (a: a // { inherit (d) file; }) d.value) options.assertions.definitionsWithLocations
      else config.assertions or [ ]);
in
{
  inherit evalModules mergeDefinitions mkAliasDefinitions mkAliasAndWrapDefinitions mkAliasAndWrapDefsWithPriority
    mkAliasIfDef mkDerivedConfig;
  inherit (lib.types) mkOptionType;
  mkRenamedOptionModule = from: to: rename { inherit from to; warn = true; };
  mkAliasOptionModule = from: to: rename { inherit from to; warn = false; };
  mkRemovedOptionModule = path: replacement: { options, ... }: {
    options = lib.setAttrByPath path (lib.mkOption {
      visible = false;
      description = "Removed.";
      apply = _: throw "The option `${errors.showOption path}' can no longer be used since it's been removed. ${replacement}";
    });
    config.assertions =
      let old = lib.getAttrFromPath path options; in
      [{
        assertion = !old.isDefined;
        message = "The option `${errors.showOption path}' defined in ${errors.showFiles old.files} no longer has any effect. ${replacement}";
      }];
  };

  # `value`, once every assertion holds; warnings are printed on the way. All other problems are reported with them.
  checked = { config, options ? { }, ... }: value:
    let failed = failedAssertions { inherit config options; }; in
    if failed != [ ] then throw (lib.concatStringsSep "\n" (problemsOf options ++ [ (errors.failedAssertions failed) ]))
    else lib.showWarnings (config.warnings or [ ]) value;
  inherit failedAssertions;
}
