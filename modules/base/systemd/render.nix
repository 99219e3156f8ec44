# Unit definitions → unit files, and the files and links below /etc that put them in place.
{ lib }:
let
  inherit (lib) concatMap concatStrings mapAttrsToList optionalAttrs optionalString;

  value = v: if v == true then "true" else if v == false then "false" else toString v;
  line = name: v: "${name}=${value v}\n";
  body = set: concatStrings (concatMap (name: map (line name) (lib.toList set.${name})) (lib.attrNames set));
  section = name: text: optionalString (text != "") "[${name}]\n${text}";
  sections = parts: lib.concatStringsSep "\n" (lib.filter (s: s != "") parts);

  digest = triggers: builtins.substring 0 32 (builtins.hashString "sha256"
    (lib.concatMapStringsSep "\n" (t: if builtins.isPath t then builtins.hashFile "sha256" t else toString t) triggers));

  # What packages a text names. They are all below /usr, so that a new version of one doesn't show in the text; the
  # services that run it must be restarted all the same.
  packagesIn = text: map lib.unsafeDiscardStringContext (lib.attrNames (builtins.getContext text));

  # [Unit], from the options that all kinds share. `unitConfig` wins over what the options say.
  unitSection = def: extraTriggers:
    let
      lists = lib.filterAttrs (_: v: v != [ ]) {
        Requires = def.requires;
        Wants = def.wants;
        Upholds = def.upholds;
        After = def.after;
        Before = def.before;
        BindsTo = def.bindsTo;
        PartOf = def.partOf;
        Conflicts = def.conflicts;
        Requisite = def.requisite;
        OnFailure = def.onFailure;
        OnSuccess = def.onSuccess;
        Documentation = def.documentation;
      };
      # A package prints as /usr, whatever its version.
      triggers = def.restartTriggers ++ packagesIn (concatStrings (map (t: if builtins.isPath t then "" else toString t) def.restartTriggers)) ++ extraTriggers;
    in
    body (lib.mapAttrs (_: lib.concatStringsSep " ") lists
      // optionalAttrs (def.description != "") { Description = def.description; }
      // optionalAttrs (def.startLimitBurst != null) { StartLimitBurst = def.startLimitBurst; }
      // optionalAttrs (def.startLimitIntervalSec != null) { StartLimitIntervalSec = def.startLimitIntervalSec; }
      // optionalAttrs (triggers != [ ]) { X-Restart-Triggers = digest triggers; }
      // optionalAttrs (def.reloadTriggers != [ ]) { X-Reload-Triggers = digest def.reloadTriggers; }
      // def.unitConfig);

  # The directories of all packages, each once; the context of every one of them stays on the result.
  searchPath = packages:
    let dirs = concatMap (p: map (d: "${toString p}/${d}") [ "bin" "sbin" ]) (map (p: "${p}") packages); in
    concatStrings (map (builtins.substring 0 0) dirs)
    + lib.concatStringsSep ":" (lib.unique (map lib.unsafeDiscardStringContext dirs));

  allScripts = def: {
    start = { key = "ExecStart"; text = def.script; args = def.scriptArgs; };
    pre-start = { key = "ExecStartPre"; text = def.preStart; };
    post-start = { key = "ExecStartPost"; text = def.postStart; };
    reload = { key = "ExecReload"; text = def.reload; };
    pre-stop = { key = "ExecStop"; text = def.preStop; };
    post-stop = { key = "ExecStopPost"; text = def.postStop; };
  };
  scripts = def: lib.filterAttrs (_: s: s.text != "") (allScripts def);
  scriptFile = name: step: "lichen/scripts/${name}-${step}";
  scriptText = text: "#! /bin/bash -e\n${text}" + optionalString (!(lib.hasSuffix "\n" text)) "\n";
in
rec {
  inherit allScripts scriptFile scriptText searchPath;

  text = {
    services = name: def:
      let
        steps = scripts def;
        env = lib.filterAttrs (_: v: v != null) def.environment;
        commands = lib.listToAttrs (mapAttrsToList
          (step: s: lib.nameValuePair s.key ("/etc/${scriptFile name step}" + optionalString (s.args or "" != "") " ${s.args}"))
          steps);
        # A script joins the commands that `serviceConfig` lists for the same step, and comes first.
        config = def.serviceConfig // lib.mapAttrs
          (key: command: if def.serviceConfig ? ${key} then [ command ] ++ lib.toList def.serviceConfig.${key} else command)
          commands;
        switching = optionalString (!def.restartIfChanged) "X-RestartIfChanged=false\n"
          + optionalString def.reloadIfChanged "X-ReloadIfChanged=true\n"
          + optionalString (!def.stopIfChanged) "X-StopIfChanged=false\n"
          + optionalString def.notSocketActivated "X-NotSocketActivated=true\n";
        service = concatStrings (mapAttrsToList (k: v: "Environment=${builtins.toJSON "${k}=${toString v}"}\n") env)
          + switching + body config;
        texts = mapAttrsToList (_: s: s.text) steps;
      in
      sections [
        (section "Unit" (unitSection def (texts ++ packagesIn (service + concatStrings texts))))
        (section "Service" service)
      ];
    timers = _: def: sections [ (section "Unit" (unitSection def [ ])) (section "Timer" (body def.timerConfig)) ];
    sockets = _: def: sections [
      (section "Unit" (unitSection def [ ]))
      (section "Socket" (concatStrings (map (line "ListenStream") def.listenStreams ++ map (line "ListenDatagram") def.listenDatagrams)
        + body def.socketConfig))
    ];
    targets = _: def: section "Unit" (unitSection def [ ]);
    paths = _: def: sections [ (section "Unit" (unitSection def [ ])) (section "Path" (body def.pathConfig)) ];
    slices = _: def: sections [ (section "Unit" (unitSection def [ ])) (section "Slice" (body def.sliceConfig)) ];
    mounts = _: def: sections [
      (section "Unit" (unitSection def [ ]))
      (section "Mount" (body ({ What = def.what; Where = def.where; }
        // optionalAttrs (def.type != "") { Type = def.type; }
        // optionalAttrs (def.options != "") { Options = def.options; } // def.mountConfig)))
    ];
    automounts = _: def: sections [
      (section "Unit" (unitSection def [ ]))
      (section "Automount" (body ({ Where = def.where; } // def.automountConfig)))
    ];
  };

  # An ini-like file of systemd's (networks, settings), sections in the order given; a list is a repeated line,
  # a section that is a list is a repeated section.
  ini = named: sections (concatMap
    (s: map (values: section s.name (body values)) (lib.filter (v: v != { }) (lib.toList s.value)))
    named);

  # environment.etc of one unit: { path = { text | source }; }
  place = shipped: name: unit:
    let
      dir = "systemd/system";
      parts = builtins.match "([^@]+@)[^.]+(\\.[a-z]+)" name;
      template = if parts == null then name else lib.concatStrings parts;
      isShipped = builtins.elem name shipped || builtins.elem template shipped;
      asDropin = unit.overrideStrategy == "asDropin" || isShipped;
      home = if asDropin then (if isShipped then "/usr/lib/${dir}/${template}" else "/etc/${dir}/${template}") else "/etc/${dir}/${name}";
      link = from: { name = "${dir}/${from}"; value.source = home; };
      file =
        # Which files there are must not depend on what they say: units may be made from other files of /etc.
        if asDropin then [ (lib.nameValuePair "${dir}/${name}.d/overrides.conf" { inherit (unit) text; enable = unit.text != ""; }) ]
        else [ (lib.nameValuePair "${dir}/${name}" { inherit (unit) text; }) ];
    in
    if !unit.enable then { "${dir}/${name}".source = "/dev/null"; }
    else lib.listToAttrs (file
      ++ map link unit.aliases
      ++ map (target: link "${target}.wants/${name}") unit.wantedBy
      ++ map (target: link "${target}.requires/${name}") unit.requiredBy
      ++ map (target: link "${target}.upholds/${name}") unit.upheldBy);
}
