# The option reference, as data and as text.
#
#   list options   →  [ { name, type, default, example, description, declarations, readOnly } ]
#   markdown list  →  one page
lib:
let
  inherit (lib) concatMap concatMapStrings optionalString;

  # A value as its author would write it. What can't be evaluated outside of an appliance stays out.
  shown = value:
    let
      flat = lib.generators.toPretty { } value;
      text =
        if builtins.elem (value._type or null) [ "literalExpression" "literalMD" ] then value.text
        else if lib.stringLength flat <= 80 && !(lib.hasInfix "\n" flat) then flat
        else lib.generators.toPretty { multiline = true; } value;
      tried = builtins.tryEval (builtins.deepSeq text text);
    in
    if tried.success then tried.value else null;

  # Roles of NixOS's manual mean nothing outside of it; the words stay.
  plain = text: lib.trim (builtins.replaceStrings
    (map (r: "{${r}}`") [ "file" "env" "command" "option" "manpage" "var" ]) (map (_: "`") (lib.range 1 6))
    text);

  entry = o: {
    name = lib.showOption o.loc;
    type = o.type.description;
    readOnly = o.readOnly or false;
    description = plain (o.description.text or o.description or "");
    declarations = lib.unique (map lib.errors.showFile o.declarations);
    default = if o ? defaultText then shown o.defaultText else if o ? default then shown o.default else null;
    example = if o ? example then shown o.example else null;
  };

  list = tree:
    if lib.isOption tree then
      (if tree.internal or false || !(tree.visible or true == true || tree.visible or true == "shallow") then [ ]
      else [ (entry tree) ]
        ++ lib.optionals (tree.visible or true != "shallow") (list (tree.type.getSubOptions tree.loc)))
    else concatMap (n: if n == "_module" then [ ] else list tree.${n}) (builtins.attrNames tree);

  value = label: text:
    if text == null then ""
    else if lib.hasInfix "\n" text then "${label}:\n\n```nix\n${text}\n```\n\n"
    else "${label}: `${text}`\n\n";
  section = o:
    "## ${o.name}\n\n"
    + optionalString (o.description != "") "${o.description}\n\n"
    + "Type: ${o.type}${optionalString o.readOnly " (read-only)"}\n\n"
    + value "Default" o.default
    + value "Example" o.example
    + "Declared in ${lib.concatStringsSep ", " o.declarations}\n\n";
in
{
  list = options: lib.sortOn (o: o.name) (list options);
  markdown = entries: "# Options\n\n" + concatMapStrings section entries;
}
