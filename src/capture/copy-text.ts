/**
 * The cells of a line of `COPY … TO STDOUT` in text format, without its line break. A tab or a line break in a value is
 * written with a backslash, so a plain tab always stands between two columns.
 * @see https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
 */
export function cellsOf(line: string): (string | null)[] {
  const cells: (string | null)[] = line.split('\t')
  if (!line.includes('\\')) return cells
  for (const [at, cell] of cells.entries()) {
    if (cell === '\\N') cells[at] = null
    else if (cell?.includes('\\'))
      cells[at] = cell.replace(/\\([\s\S])/g, (_, letter: string) => escapes[letter] ?? letter)
  }
  return cells
}

/** What COPY writes with a letter; a backslash stands for itself. */
const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }
