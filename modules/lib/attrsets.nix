# Attribute sets.
lib:
let
  inherit (builtins) attrNames attrValues isAttrs listToAttrs mapAttrs head tail;
in
{
  inherit (builtins)
    attrNames attrValues catAttrs getAttr hasAttr intersectAttrs listToAttrs mapAttrs removeAttrs zipAttrsWith;

  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = cond: set: if cond then set else { };
  genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
  mapAttrs' = f: set: listToAttrs (map (n: f n set.${n}) (attrNames set));
  mapAttrsToList = f: set: map (n: f n set.${n}) (attrNames set);
  attrsToList = lib.mapAttrsToList lib.nameValuePair;
  concatMapAttrs = f: set: builtins.foldl' (a: b: a // b) { } (lib.mapAttrsToList f set);
  filterAttrs = pred: set: removeAttrs set (builtins.filter (n: !(pred n set.${n})) (attrNames set));
  mapAttrsRecursive = lib.mapAttrsRecursiveCond (_: true);
  mapAttrsRecursiveCond = cond: f:
    let go = path: mapAttrs (n: v: if isAttrs v && cond v then go (path ++ [ n ]) v else f (path ++ [ n ]) v);
    in go [ ];
  collect = pred: set:
    if pred set then [ set ] else if isAttrs set then builtins.concatMap (lib.collect pred) (attrValues set) else [ ];
  filterAttrsRecursive = pred: set: listToAttrs (builtins.concatMap
    (n: let v = set.${n}; in lib.optional (pred n v)
      (lib.nameValuePair n (if isAttrs v then lib.filterAttrsRecursive pred v else v)))
    (attrNames set));
  foldlAttrs = f: init: set: builtins.foldl' (acc: n: f acc n set.${n}) init (attrNames set);
  attrByPath = path: default: set:
    if path == [ ] then set
    else if isAttrs set && set ? ${head path} then lib.attrByPath (tail path) default set.${head path}
    else default;
  hasAttrByPath = path: set:
    path == [ ] || (isAttrs set && set ? ${head path} && lib.hasAttrByPath (tail path) set.${head path});
  getAttrFromPath = path: lib.attrByPath path (throw "cannot find attribute `${lib.concatStringsSep "." path}'");
  setAttrByPath = path: value: if path == [ ] then value else { ${head path} = lib.setAttrByPath (tail path) value; };
  attrVals = names: set: map (n: set.${n}) names;
  getAttrs = names: set: lib.genAttrs names (n: set.${n});
  zipAttrs = builtins.zipAttrsWith (_: values: values);
  mergeAttrsList = builtins.foldl' (a: b: a // b) { };
  recursiveUpdate = lib.recursiveUpdateUntil (_: l: r: !(isAttrs l && isAttrs r));
  recursiveUpdateUntil = pred:
    let
      go = path: l: r: l // mapAttrs
        (n: rv: if l ? ${n} && !(pred (path ++ [ n ]) l.${n} rv) then go (path ++ [ n ]) l.${n} rv else rv) r;
    in
    go [ ];
  isDerivation = v: v.type or null == "derivation";
  getOutput = output: pkg: if pkg.outputSpecified or false then pkg else pkg.${output} or pkg.out or pkg;
  getBin = lib.getOutput "bin";
  getLib = lib.getOutput "lib";
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
}
