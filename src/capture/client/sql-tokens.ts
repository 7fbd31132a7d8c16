/** A word as Postgres folds it, a quoted identifier, or a single sign. Strings, numbers and comments are left out. */
export interface SqlToken {
  readonly kind: 'word' | 'identifier' | 'sign'
  readonly text: string
}

// In the order of trying. A backslash escapes only in E'…'.
const lexemes = new RegExp(
  [
    /(?<space>\s+|--[^\n]*)/,
    /(?<comment>\/\*)/,
    /(?<string>[eE]'(?:[^'\\]|\\.|'')*(?:'|$)|(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|$))/,
    /(?<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)/,
    /(?<parameter>\$\d+)/,
    /(?<identifier>(?:[uU]&)?"(?:[^"]|"")*(?:"|$))/,
    /(?<number>\d[\w.]*)/,
    /(?<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)/,
    /(?<sign>.)/,
  ]
    .map((lexeme) => lexeme.source)
    .join('|'),
  'ys',
)

/** Divides SQL into its words: what stands in comments, string literals and dollar quotes is none of them. */
export function sqlTokens(sql: string): SqlToken[] {
  const tokens: SqlToken[] = []
  lexemes.lastIndex = 0
  for (let match = lexemes.exec(sql); match?.groups !== undefined; match = lexemes.exec(sql)) {
    const { comment, dollar, identifier, word, sign } = match.groups
    if (comment !== undefined) {
      lexemes.lastIndex = commentEnd(sql, match.index)
    } else if (dollar !== undefined) {
      const end = sql.indexOf(dollar, lexemes.lastIndex)
      if (end < 0) break
      lexemes.lastIndex = end + dollar.length
      tokens.push({ kind: 'sign', text: '$' })
    } else if (identifier !== undefined) {
      tokens.push({ kind: 'identifier', text: identifier.replace(/^[^"]*"|"$/g, '').replaceAll('""', '"') })
    } else if (word !== undefined) {
      tokens.push({ kind: 'word', text: word.toLowerCase() })
    } else if (sign !== undefined) {
      tokens.push({ kind: 'sign', text: sign })
    }
  }
  return tokens
}

/** Comments nest. */
function commentEnd(sql: string, start: number): number {
  let depth = 0
  for (let at = start; at < sql.length; at++) {
    const pair = sql.slice(at, at + 2)
    if (pair === '/*') depth++
    else if (pair === '*/') depth--
    else continue
    at++
    if (depth === 0) return at + 1
  }
  return sql.length
}
