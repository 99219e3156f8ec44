// Forms and dialogs: fields that are described by values, what was typed into them, and what the planner found wrong with it.
"use strict";

let names = 0;

/// One field: `{ name, label, type, … }` → `{ node, read, fail }`. Types: those of inputs, `textarea`, `select`, `checkbox`, `choice`.
function fieldNode(field, value) {
  const id = `field-${names += 1}`;
  const input = inputOf(field, id, value);
  const why = element("small", { id: `${id}-why`, class: "bad" });
  const hint = field.hint ? element("small", { class: "quiet" }, field.hint) : null;
  const label = element("label", { for: id }, field.label, field.type === "checkbox" ? null : field.needed ? null : element("span", { class: "quiet" }, field.optional ?? ""));
  const node = element("div", { class: `field ${field.type ?? "text"}`, "data-field": field.name },
    ...(field.type === "checkbox" ? [input.node, label] : [label, input.node]), input.more, hint, why);
  const control = input.control ?? input.node;
  return {
    name: field.name,
    node,
    control,
    read: input.read,
    fail(words) {
      text(why, words);
      for (const [key, set] of [["aria-invalid", "true"], ["aria-describedby", why.id]]) words ? control.setAttribute(key, set) : control.removeAttribute(key);
      if (words) control.focus();
    },
  };
}

function inputOf(field, id, value) {
  const common = { id, name: field.name, required: field.needed, autocomplete: field.autocomplete ?? "off" };
  switch (field.type) {
    case "textarea": {
      const node = element("textarea", { ...common, rows: 3, maxlength: field.most });
      node.value = value ?? "";
      return { node, read: () => node.value };
    }
    case "select": {
      const node = element("select", common, field.choices.map(([key, words]) => element("option", { value: key }, words)));
      node.value = value ?? field.choices[0]?.[0];
      return { node, read: () => node.value };
    }
    case "checkbox": {
      const node = element("input", { ...common, type: "checkbox", required: false });
      node.checked = Boolean(value);
      return { node, read: () => node.checked };
    }
    case "file": {
      const node = element("input", { ...common, type: "file", accept: field.accept });
      return { node, read: () => node.files[0] ?? null };
    }
    case "choice": return choiceInput(field, common, value);
    case "number": {
      const node = element("input", { ...common, type: "number", min: field.min, max: field.max, step: field.step ?? "any", placeholder: field.placeholder });
      node.value = value ?? "";
      return { node, read: () => (node.value === "" ? null : Number(node.value)) };
    }
    default: {
      const list = field.list ? element("datalist", { id: `${id}-list` }, field.list.map((one) => element("option", { value: one }))) : null;
      const node = element("input", { ...common, type: field.type ?? "text", maxlength: field.most, list: list?.id, placeholder: field.placeholder, autocapitalize: field.type === "password" ? "none" : null });
      node.value = value ?? "";
      return { node, more: list, read: () => (field.type === "password" ? node.value : node.value.trim()) };
    }
  }
}

/// A form of these fields: `{ node, read, fail, dirty }`. `act` gets what was typed and returns null, or the planner's answer if it refused.
function formNode(fields, values, { submit, act, more = [] }) {
  const made = fields.map((field) => fieldNode(field, values[field.name]));
  const answer = element("p", { class: "bad", role: "alert" });
  const send = element("button", { type: "submit", class: "main" }, submit);
  const node = element("form", { novalidate: true }, made.map((field) => field.node), answer, element("div", { class: "buttons" }, send, ...more));
  let busy = false;
  const form = {
    node,
    dirty: false,
    read: () => Object.fromEntries(made.map(({ name, read }) => [name, read()])),
    field: (name) => made.find((one) => one.name === name),
  };
  node.addEventListener("input", () => { form.dirty = true; });
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    for (const field of made) field.fail("");
    text(answer, "");
    const wrong = made.find(({ control }) => control.validity && !control.validity.valid);
    if (wrong) return wrong.fail(wrong.control.validationMessage);
    busy = send.disabled = true;
    const refused = await act(form.read());
    busy = send.disabled = false;
    if (refused) tell(refused);
    else form.dirty = false;
  });
  function tell(refused) {
    const { body } = refused;
    const field = body?.field && form.field(body.field.split(".")[0]);
    if (field) return field.fail(capital(body.details ?? body.error));
    text(answer, [refusal(refused), ...sentences(body)].join(" "));
  }
  return form;
}

// ---- dialogs

/// Opens a dialog with a title; it is gone from the page when it closes.
function openDialog(title, inside, { wide = false } = {}) {
  closeMenus();
  const id = `dialog-${names += 1}`;
  const node = element("dialog", { "aria-labelledby": id, class: wide ? "wide" : null },
    element("header", {}, element("h2", { id }, title), button("Close", () => node.close(), { class: "plain" })), inside);
  node.addEventListener("close", () => {
    if (node.contains(byId("notes"))) document.body.append(byId("notes"));
    node.remove();
  });
  // A click beside it closes it, unless somebody has begun to type.
  node.addEventListener("click", (event) => event.target === node && !node.querySelector("form") && node.close());
  document.body.append(node);
  node.showModal();
  return node;
}

/// A dialog with a form, which closes when the planner has done what it says.
function formDialog(title, fields, values, { submit, act, before = null }) {
  let node = null;
  const form = formNode(fields, values, {
    submit,
    act: async (typed) => {
      const refused = await act(typed);
      if (!refused) node.close();
      return refused;
    },
  });
  node = openDialog(title, before ? element("div", {}, before, form.node) : form.node);
  return form;
}

/// Asks before something that cannot be undone.
function askDialog(title, words, verb) {
  return new Promise((resolve) => {
    let sure = false;
    const node = openDialog(title, element("div", {}, element("p", {}, words),
      element("div", { class: "buttons" }, button(verb, () => { sure = true; node.close(); }, { class: "main bad" }), button("No", () => node.close()))));
    node.addEventListener("close", () => resolve(sure));
  });
}

/// Menus close when something else is used.
function closeMenus(but = null) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== but) menu.open = false;
}

// ---- choosing by typing

/// Makes an input and a list into one: what is typed is asked for, arrows and Enter choose. `find` returns `[{ words, more, value }]`.
function comboBox(input, list, { find, choose, least = 1 }) {
  let found = [];
  let at = -1;
  let asked = 0;
  let timer = 0;
  let waits = false; // for answers to what was typed last
  for (const [key, value] of Object.entries({ role: "combobox", "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list" })) input.setAttribute(key, value);

  function show(options, none) {
    found = options;
    at = -1;
    list.replaceChildren(...options.map((option, index) => element("li", { role: "option", id: `${list.id}-${index}`, "aria-selected": "false",
      onpointerdown: (event) => event.preventDefault(), onclick: () => take(index) }, element("span", {}, option.words), option.more ? element("small", { class: "quiet" }, option.more) : null)));
    if (options.length === 0 && none) list.append(element("li", { class: "quiet", role: "option", "aria-disabled": "true" }, none));
    open(list.children.length > 0);
    if (none) say(options.length > 0 ? count(options.length, "answer") : none);
  }
  function open(is) {
    list.hidden = !is;
    input.setAttribute("aria-expanded", String(is));
    if (!is) input.removeAttribute("aria-activedescendant");
  }
  function point(to) {
    at = (to + found.length) % found.length;
    for (const [index, node] of [...list.children].entries()) node.setAttribute("aria-selected", String(index === at));
    input.setAttribute("aria-activedescendant", `${list.id}-${at}`);
    list.children[at].scrollIntoView({ block: "nearest" });
  }
  function take(index) {
    open(false);
    choose(found[index]);
  }
  async function look() {
    const words = input.value.trim();
    const mine = asked += 1;
    if (words.length < least) {
      waits = false;
      return show([], "");
    }
    const options = await find(words);
    if (mine !== asked) return;
    waits = false;
    show(options ?? [], options ? "Nothing was found" : "The planner did not answer");
  }
  input.addEventListener("input", () => {
    clearTimeout(timer);
    waits = true;
    timer = setTimeout(look, 150);
  });
  input.addEventListener("focus", () => least === 0 && look());
  input.addEventListener("blur", () => open(false));
  input.addEventListener("keydown", (event) => {
    const opened = !list.hidden && found.length > 0;
    // What is listed answers something that was typed before.
    if (waits && event.key === "Enter") return event.preventDefault();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (opened) point(at + (event.key === "ArrowDown" ? 1 : at < 0 ? 0 : -1));
      else look();
    } else if (event.key === "Enter" && opened) {
      event.preventDefault();
      take(Math.max(0, at));
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      open(false);
    }
  });
}

/// A field whose value is chosen from what the planner has: `field.find` as for combo boxes, `field.chosen` hears of it.
function choiceInput(field, common, value) {
  const list = element("ul", { id: `${common.id}-list`, class: "choices", role: "listbox", "aria-label": field.label, hidden: true });
  const input = element("input", { ...common, type: "text", placeholder: field.placeholder, spellcheck: "false" });
  let chosen = value ?? null;
  input.value = chosen?.words ?? "";
  input.addEventListener("input", () => { chosen = null; });
  comboBox(input, list, {
    find: field.find,
    least: 0,
    choose: (option) => {
      chosen = option;
      input.value = option.words;
      field.chosen?.(option.value);
    },
  });
  return { node: element("div", { class: "inside" }, input, list), control: input, read: () => chosen?.value ?? null };
}
