# Evaluates every output of a flake down to its derivation, builds none, and says on standard error which is next: where
# it ends, that one is at fault.
flake:
let
  visit = path: value:
    if value.type or null == "derivation" then builtins.trace "output ${path}" (builtins.seq value.drvPath [ path ])
    # A configuration, as in nixosConfigurations: what is built of it is its toplevel.
    else if value ? config then visit "${path}.config.system.build.toplevel" value.config.system.build.toplevel
    # Functions, as lib.withLock, are for their callers to evaluate.
    else if builtins.isAttrs value then builtins.concatMap (name: visit "${path}.${name}" value.${name}) (builtins.attrNames value)
    else [ ];
in builtins.concatMap (name: visit name flake.outputs.${name}) (builtins.attrNames flake.outputs)
