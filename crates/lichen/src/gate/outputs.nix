# Evaluates every output of a flake down to its derivation, and builds none. Says on standard error where it goes, so that
# the last place named is at fault where it ends, and what it has evaluated.
flake:
let
  visit = path: value: builtins.trace "at ${path}" (
    if value.type or null == "derivation" then builtins.seq value.drvPath (builtins.trace "output ${path}" [ path ])
    # A configuration, as in nixosConfigurations: what is built of it is its toplevel.
    else if value ? config then visit "${path}.config.system.build.toplevel" value.config.system.build.toplevel
    else if builtins.isAttrs value then all "${path}." value
    # Functions, as lib.withLock, are for their callers to evaluate.
    else [ ]);
  all = prefix: set: builtins.concatMap (name: visit "${prefix}${name}" set.${name}) (builtins.attrNames set);
in all "" flake.outputs
