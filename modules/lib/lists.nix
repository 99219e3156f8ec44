# Lists.
lib:
let
  inherit (builtins) elemAt length genList filter foldl';
in
{
  inherit (builtins)
    all any concatLists concatMap elem elemAt filter foldl' genList groupBy head length map partition sort tail;

  singleton = x: [ x ];
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  toList = x: if builtins.isList x then x else [ x ];
  forEach = xs: f: map f xs;
  flatten = x: if builtins.isList x then builtins.concatMap lib.flatten x else [ x ];
  remove = x: filter (y: y != x);
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = n: x: genList (_: x) n;
  imap0 = f: xs: genList (n: f n (elemAt xs n)) (length xs);
  imap1 = f: xs: genList (n: f (n + 1) (elemAt xs n)) (length xs);
  ifilter0 = pred: xs: map (e: e.x) (filter (e: pred e.n e.x) (lib.imap0 (n: x: { inherit n x; }) xs));
  count = pred: xs: length (filter pred xs);
  foldr = op: nul: xs:
    let go = n: if n == length xs then nul else op (elemAt xs n) (go (n + 1)); in go 0;
  fold = lib.foldr;
  foldl = op: nul: xs:
    let go = n: if n == 0 then nul else op (go (n - 1)) (elemAt xs (n - 1)); in go (length xs);
  findFirst = pred: default: xs:
    let found = filter pred xs; in if found == [ ] then default else builtins.head found;
  last = xs: assert lib.assertMsg (xs != [ ]) "lists.last: list must not be empty!"; elemAt xs (length xs - 1);
  init = xs: assert lib.assertMsg (xs != [ ]) "lists.init: list must not be empty!"; lib.take (length xs - 1) xs;
  take = n: lib.sublist 0 n;
  drop = n: xs: lib.sublist n (length xs) xs;
  sublist = start: n: xs:
    let len = length xs;
    in genList (i: elemAt xs (i + start)) (lib.max 0 (lib.min n (len - start)));
  reverseList = xs: let l = length xs; in genList (n: elemAt xs (l - n - 1)) l;
  unique = foldl' (acc: x: if builtins.elem x acc then acc else acc ++ [ x ]) [ ];
  allUnique = xs: length (lib.unique xs) == length xs;
  intersectLists = e: filter (x: builtins.elem x e);
  subtractLists = e: filter (x: !(builtins.elem x e));
  mutuallyExclusive = a: b: length a == 0 || !(builtins.any (x: builtins.elem x a) b);
  zipListsWith = f: a: b: genList (n: f (elemAt a n) (elemAt b n)) (lib.min (length a) (length b));
  zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });
  sortOn = f: xs: map (e: e.x) (builtins.sort (a: b: a.k < b.k) (map (x: { inherit x; k = f x; }) xs));
  naturalSort = builtins.sort (a: b: builtins.compareVersions a b < 0);
  crossLists = f: foldl' (fs: args: builtins.concatMap (g: map g args) fs) [ f ];
  concat = a: b: a ++ b;
  sum = foldl' builtins.add 0;
}
