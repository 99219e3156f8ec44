# Functions on no type in particular.
lib:
{
  inherit (builtins)
    add addErrorContext bitAnd bitOr bitXor ceil deepSeq floor fromJSON functionArgs genericClosure
    isAttrs isBool isFloat isInt isList isPath isString lessThan pathExists readFile seq sub toJSON trace tryEval
    typeOf;

  id = x: x;
  const = x: _: x;
  flip = f: a: b: f b a;
  pipe = builtins.foldl' (x: f: f x);
  fix = f: let x = f x; in x;
  or = a: b: a || b;
  and = a: b: a && b;
  xor = a: b: a != b;
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = base: int: base - (int * (builtins.div base int));
  compare = a: b: if a < b then -1 else if a > b then 1 else 0;
  defaultTo = default: value: if value == null then default else value;
  mapNullable = f: a: if a == null then null else f a;
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  boolToString = b: if b then "true" else "false";
  boolToYesNo = b: if b then "yes" else "no";

  isFunction = f: builtins.isFunction f || (f ? __functor && builtins.isFunction (f.__functor f));
  toFunction = v: if lib.isFunction v then v else _: v;

  warn = message: builtins.trace "warning: ${message}";
  warnIf = cond: message: if cond then lib.warn message else lib.id;
  warnIfNot = cond: lib.warnIf (!cond);
  throwIf = cond: message: if cond then throw message else lib.id;
  throwIfNot = cond: lib.throwIf (!cond);
  assertMsg = pred: message: pred || throw message;
  showWarnings = warnings: value: builtins.foldl' (v: w: lib.warn w v) value warnings;
}
