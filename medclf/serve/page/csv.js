// CSV as RFC 4180 has it, with the delimiter found from the first line; and back.

/** The cells of each row; rows without any cell are left out. */
export function parseCsv(text) {
  const delimiter = delimiterOf(text);
  const rows = [];
  let row = [], cell = "", quoted = false;
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') { cell += c; i++; }
      else quoted = false;
    } else if (c === '"' && cell === "") quoted = true;
    else if (c === delimiter) { row.push(cell); cell = ""; }
    else if (c === "\n" || c === "\r") {
      if (c === "\r" && text[i + 1] === "\n") i++;
      row.push(cell);
      if (row.length > 1 || cell !== "") rows.push(row);
      row = []; cell = "";
    } else cell += c;
  }
  if (quoted) throw new Error("A quote is opened and never closed.");
  row.push(cell);
  if (row.length > 1 || cell !== "") rows.push(row);
  return rows;
}

function delimiterOf(text) {
  const line = text.slice(0, 10000).split(/[\r\n]/, 1)[0].replace(/"[^"]*"/g, "");
  const count = (c) => line.split(c).length;
  return [",", ";", "\t"].reduce((best, c) => (count(c) > count(best) ? c : best));
}

/** One line each row, with quotes where they are needed. */
export function writeCsv(rows) {
  const cell = (value) => {
    const text = String(value ?? "");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
}
