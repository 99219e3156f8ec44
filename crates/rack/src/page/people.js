// Who may do what, what was done, and what else only some may change: users, tokens, the log of changes, logos.
"use strict";

const ROLES = [["view", "look"], ["edit", "change racks"], ["admin", "everything"]];
const roleWords = (role) => ROLES.find(([name]) => name === role)?.[1] ?? role;

/// A table whose rows are made anew by `load`.
const tableOf = (names, body) => element("div", { class: "scrolls", tabindex: 0, role: "region", "aria-label": "Table" }, element("table", {},
  element("thead", {}, element("tr", {}, names.map((name) => element("th", { scope: "col" }, name || element("span", { class: "unseen" }, "What can be done"))))), body));

// ---- users

function usersDialog() {
  const body = element("tbody");
  const form = formNode([
    { name: "name", label: "Name", needed: true, most: 64 },
    { name: "password", label: "Password", type: "password", needed: true, autocomplete: "new-password", hint: "10 characters or more." },
    { name: "role", label: "May", type: "select", choices: ROLES },
  ], {}, {
    submit: "Add user",
    act: async (fields) => {
      const answer = await ask("POST", "api/users", fields);
      if (!answer.ok) return answer;
      note(`${answer.body.name} may log in now.`);
      form.node.reset();
      await load();
      return null;
    },
  });
  async function load() {
    const { ok, items } = await page("api/users");
    body.replaceChildren(...(ok ? items.map(row) : []));
  }
  function row(user) {
    const mine = user.id === state.me.user?.id;
    return element("tr", {}, element("th", { scope: "row" }, user.name, mine ? element("small", { class: "quiet" }, " (you)") : null), element("td", {}, roleWords(user.role)),
      element("td", { class: "acts" }, button("Edit…", () => userDialog(user, load), { "aria-label": `Edit ${user.name}` }),
        mine ? null : button("Delete", () => remove(user), { class: "bad", "aria-label": `Delete ${user.name}` })));
  }
  async function remove(user) {
    if (!(await askDialog("Delete a user", `Delete ${user.name}? Their sessions and tokens end.`, "Delete"))) return;
    const answer = await ask("DELETE", `api/users/${user.id}?version=${user.version}`);
    if (!answer.ok) await explain(answer, `${user.name} was not deleted`);
    await load();
  }
  openDialog("Users", element("div", {}, tableOf(["Name", "May", ""], body), element("h3", {}, "New user"), form.node), { wide: true });
  load();
}

function userDialog(user, then) {
  formDialog(`Edit ${user.name}`, [
    { name: "name", label: "Name", needed: true, most: 64 },
    { name: "role", label: "May", type: "select", choices: ROLES },
    { name: "password", label: "New password", type: "password", autocomplete: "new-password", hint: "Nothing for the one until now. All sessions of the user end with a new one." },
  ], user, {
    submit: "Save",
    act: async ({ name, role, password }) => {
      const answer = await ask("PUT", `api/users/${user.id}`, { version: user.version, name, role, password: password || null });
      if (!answer.ok) return answer;
      note(`${answer.body.name} is saved.`);
      await then();
      return null;
    },
  });
}

function passwordDialog() {
  formDialog("Your password", [
    { name: "current", label: "Until now", type: "password", needed: true, autocomplete: "current-password" },
    { name: "new", label: "From now on", type: "password", needed: true, autocomplete: "new-password", hint: "10 characters or more." },
  ], {}, {
    submit: "Change",
    act: async (fields) => {
      const answer = await ask("PUT", "api/session/password", fields);
      if (!answer.ok) return answer;
      note("Your password is changed. Log in with it.");
      await start();
      return null;
    },
  });
}

// ---- tokens

function tokensDialog() {
  const body = element("tbody");
  const shown = element("p", { role: "status", class: "token" });
  const own = ROLES.slice(0, ROLES.findIndex(([role]) => role === state.me.role) + 1);
  const form = formNode([
    { name: "name", label: "What it is for", needed: true, most: 64 },
    { name: "role", label: "May", type: "select", choices: own },
  ], {}, {
    submit: "Make token",
    act: async (fields) => {
      const answer = await ask("POST", "api/tokens", fields);
      if (!answer.ok) return answer;
      shown.replaceChildren(`This is shown only once. Send it as “Authorization: Bearer …”: `, element("code", {}, answer.body.token));
      form.node.reset();
      await load();
      return null;
    },
  });
  async function load() {
    const { ok, items } = await page("api/tokens");
    const rows = items.map((token) => element("tr", {}, element("th", { scope: "row" }, token.name), element("td", {}, roleWords(token.role)),
      element("td", { class: "acts" }, button("End", () => remove(token), { class: "bad", "aria-label": `End ${token.name}` }))));
    body.replaceChildren(...(ok ? rows : []));
  }
  async function remove(token) {
    const answer = await ask("DELETE", `api/tokens/${token.id}`);
    if (!answer.ok) await explain(answer, `${token.name} was not ended`);
    await load();
  }
  openDialog("Tokens", element("div", {}, element("p", { class: "quiet" }, "A program shows a token in place of a name and a password."),
    tableOf(["What for", "May", ""], body), shown, element("h3", {}, "New token"), form.node), { wide: true });
  load();
}

// ---- what was changed

function auditDialog() {
  const body = element("tbody");
  const more = button("Show more", () => load(), { class: "plain", hidden: true });
  let next = null;
  async function load() {
    const answer = await page("api/audit", { limit: 50, before: next });
    next = answer.next;
    more.hidden = next == null;
    body.append(...answer.items.map((entry) => element("tr", {}, element("td", {}, moment(entry.at_ms)), element("td", {}, entry.who),
      element("td", {}, auditWords(entry)), element("td", {}, element("small", { class: "quiet" }, differences(entry).join(" · "))))));
    if (body.children.length === 0) body.append(element("tr", {}, element("td", { colspan: 4, class: "quiet" }, answer.ok ? "Nothing yet" : "The planner did not answer")));
  }
  openDialog("What was changed", element("div", {}, tableOf(["When", "Who", "What", "Before and after"], body), more), { wide: true });
  load();
}

const ACTIONS = { create: "made", change: "changed", move: "moved", delete: "deleted", import: "read from a file" };

function auditWords({ action, what, id_of: id, before, after }) {
  const name = (after ?? before)?.name ?? (after ?? before)?.model ?? (id != null ? `number ${id}` : "");
  return `${capital(what)} ${name} ${ACTIONS[action] ?? action}`.replace(/\s+/g, " ");
}

/// What is different in an entry, a few words for each field.
function differences({ before, after }) {
  if (!before || !after || typeof before !== "object") return [];
  const told = (value) => (value == null ? "nothing" : typeof value === "object" && value.at ? placeWords(value, 2) : typeof value === "object" ? JSON.stringify(value) : String(value));
  const fields = Object.keys({ ...before, ...after }).filter((field) => field !== "version" && !same(before[field], after[field]));
  return fields.slice(0, 5).map((field) => `${field.replaceAll("_", " ")}: ${told(before[field])} → ${told(after[field])}`);
}

// ---- logos

function logosDialog() {
  const list = element("ul", { class: "rows" });
  const form = formNode([
    { name: "manufacturer", label: "Manufacturer", needed: true, most: 100, list: [...new Set([...state.kinds.values()].map((kind) => kind.manufacturer))].sort() },
    { name: "file", label: "Picture", type: "file", accept: "image/png,image/jpeg,image/webp", needed: true, hint: "PNG, JPEG or WebP, 2 MB at most." },
  ], {}, {
    submit: "Set logo",
    act: async ({ manufacturer, file }) => {
      const answer = await ask("PUT", `api/logos/${encodeURIComponent(manufacturer)}`, file);
      if (!answer.ok) return answer;
      note(`The logo of ${manufacturer} is set.`);
      form.node.reset();
      await load();
      return null;
    },
  });
  async function load() {
    await loadLogos();
    draw();
    list.replaceChildren(...[...state.logos].map(([name, address]) => element("li", {},
      element("img", { src: `${address}?${Date.now()}`, alt: "", height: 24 }), element("b", {}, name),
      button("Delete", () => remove(name, address), { class: "bad", "aria-label": `Delete the logo of ${name}` }))));
  }
  async function remove(name, address) {
    const answer = await ask("DELETE", address);
    if (!answer.ok) await explain(answer, `The logo of ${name} was not deleted`);
    await load();
  }
  openDialog("Logos", element("div", {}, element("p", { class: "quiet" }, "Devices of a manufacturer are drawn with its logo."), list, form.node));
  load();
}
