import type { Change } from './cascades.js'
import { type SqlToken, sqlTokens } from './sql-tokens.js'

/** A table that a statement writes to, as it is spelled there: folded unless it was quoted. */
export interface SqlWrite {
  /** `null` where the name stands alone. */
  readonly schema: string | null
  readonly table: string
  readonly change: Change
}

/** What a text of SQL writes: nothing (`[]`), these tables, or `'unknown'`. */
export type SqlWrites = readonly SqlWrite[] | 'unknown'

// Looked for in the whole text, so that a plain query is told without dividing it into words.
const mayWrite = /\b(?:insert|update|delete|merge|truncate|copy|call|do|execute|alter|create|import|load)\b/i

const harmless = new Set([
  ...['select', 'values', 'table', 'with', 'explain', 'show', 'set', 'reset', 'begin', 'start', 'commit', 'end'],
  ...['rollback', 'abort', 'savepoint', 'release', 'listen', 'unlisten', 'notify', 'lock', 'discard', 'declare'],
  ...['fetch', 'move', 'close', 'deallocate', 'prepare', 'analyze', 'vacuum', 'checkpoint', 'cluster', 'reindex'],
  ...['grant', 'revoke', 'comment', 'drop', 'refresh', 'security', 'reassign', 'insert', 'update', 'delete', 'merge'],
  ...['truncate', 'copy', 'create', 'alter'],
])

/**
 * Tells from its text what SQL writes, without knowing the tables. It errs on the side of writing: a function that a
 * `SELECT` calls is taken as a read, but what is no known command, or runs code (`CALL`, `DO`, `EXECUTE`), is unknown.
 */
export function sqlWrites(sql: string): SqlWrites {
  if (!mayWrite.test(sql) && /^[\s(]*(?:select|with|values|table|show|set)\b/i.test(sql)) return []
  const writes: SqlWrite[] = []
  for (const statement of statements(sqlTokens(sql))) {
    const found = statementWrites(statement)
    if (found === 'unknown') return 'unknown'
    writes.push(...found)
  }
  return writes
}

/** Whether SQL calls one of these functions. */
export function sqlCalls(sql: string, functions: readonly string[]): boolean {
  if (functions.length === 0) return false
  const folded = sql.toLowerCase()
  const named = functions.filter((name) => folded.includes(name.toLowerCase()))
  if (named.length === 0) return false
  return sqlTokens(sql).some(
    (token, at, tokens) => token.kind !== 'sign' && named.includes(token.text) && tokens[at + 1]?.text === '(',
  )
}

// What may stand before a bracket in a read, and does not write.
const knownCalls =
  /\b(?:set_config|current_setting|pg_\w+|count|sum|min|max|avg|coalesce|now|lower|upper|in|any|exists|as|and|or|not|over|filter|from|where|select|values|on|using)\s*\(/gi

/** Whether a text certainly writes nothing, without knowing which functions there are. */
export function certainlyReads(sql: string): boolean {
  return sqlWrites(sql).length === 0 && !/[\w"$]\s*\(/.test(sql.replaceAll(knownCalls, ' '))
}

function statements(tokens: readonly SqlToken[]): SqlToken[][] {
  const all: SqlToken[][] = [[]]
  for (const token of tokens) {
    if (token.kind === 'sign' && token.text === ';') all.push([])
    else all.at(-1)?.push(token)
  }
  return all.filter((statement) => statement.length > 0)
}

function statementWrites(tokens: readonly SqlToken[]): SqlWrites {
  const first = tokens.find((token) => token.text !== '(')
  if (first === undefined) return []
  if (first.kind !== 'word' || !harmless.has(first.text)) return 'unknown'
  const writes: SqlWrite[] = []
  for (let at = 0; at < tokens.length; at++) {
    if (!startsCommand(tokens, at)) continue
    const found = command(tokens, at)
    if (found === 'unknown') return 'unknown'
    writes.push(...found)
  }
  return writes
}

/** `UPDATE` and `DELETE` are no reserved words: a command stands first, in brackets (a CTE), or after those of a CTE. */
function startsCommand(tokens: readonly SqlToken[], at: number): boolean {
  if (tokens[at]?.kind !== 'word') return false
  const before = tokens[at - 1]
  if (before === undefined || before.text === '(' || before.text === ')') return true
  return before.kind === 'word' && (before.text === 'analyze' || before.text === 'verbose' || before.text === 'as')
}

function command(tokens: readonly SqlToken[], at: number): SqlWrites {
  const word = (offset: number): string | undefined =>
    tokens[at + offset]?.kind === 'word' ? tokens[at + offset]?.text : undefined
  switch (word(0)) {
    case 'insert':
      return word(1) === 'into' ? insert(tokens, at + 2) : []
    case 'update':
      return written(tokens, at + 1, (end) => ({ kind: 'update', columns: assignedColumns(tokens, end) }))
    case 'delete':
      return word(1) === 'from' ? written(tokens, at + 2, () => ({ kind: 'delete' })) : []
    case 'merge': {
      if (word(1) !== 'into') return []
      const target = (change: Change): SqlWrites => written(tokens, at + 2, () => change)
      return joined(target({ kind: 'update', columns: null }), target({ kind: 'delete' }))
    }
    case 'truncate':
      return truncate(tokens, at + (word(1) === 'table' ? 2 : 1))
    case 'copy':
      return copiesIn(tokens, at) ? written(tokens, at + 1, () => ({ kind: 'insert' })) : []
    case 'alter':
      return word(1) === 'table' ? alterTable(tokens, at + 2) : []
    case 'call':
    case 'do':
    case 'execute':
      return at === 0 ? 'unknown' : []
    default:
      return []
  }
}

function insert(tokens: readonly SqlToken[], at: number): SqlWrites {
  const inserted = written(tokens, at, () => ({ kind: 'insert' }))
  const conflict = tokens.findIndex((_, index) => index > at && isWords(tokens, index, ['do', 'update', 'set']))
  if (conflict < 0) return inserted
  const columns = assignedColumns(tokens, conflict + 2)
  return joined(
    inserted,
    written(tokens, at, () => ({ kind: 'update', columns })),
  )
}

function truncate(tokens: readonly SqlToken[], at: number): SqlWrites {
  const change: Change = tokens.some((token) => token.kind === 'word' && token.text === 'cascade')
    ? { kind: 'truncate' }
    : { kind: 'delete' }
  const writes: SqlWrite[] = []
  for (let next = at; ; ) {
    const name = nameAt(tokens, next)
    if (name === null) return 'unknown'
    writes.push({ ...name.table, change })
    next = tokens[name.end]?.text === '*' ? name.end + 1 : name.end
    if (tokens[next]?.text !== ',') return writes
    next++
  }
}

/** A column that is added with a default, or gets another type, has other values in rows that nobody wrote to. */
function alterTable(tokens: readonly SqlToken[], at: number): SqlWrites {
  const name = isWords(tokens, at, ['if', 'exists']) ? at + 2 : at
  return written(tokens, name, () => ({ kind: 'update', columns: null }))
}

/** `COPY … FROM`; `COPY … TO` and `COPY (query) TO` read. */
function copiesIn(tokens: readonly SqlToken[], at: number): boolean {
  return (
    tokens.slice(at).some((token) => token.kind === 'word' && token.text === 'from') && tokens[at + 1]?.text !== '('
  )
}

function written(tokens: readonly SqlToken[], at: number, change: (end: number) => Change): SqlWrites {
  const name = nameAt(tokens, at)
  // No name follows where the word was a column's.
  if (name === null) return []
  return [{ ...name.table, change: change(name.end) }]
}

function nameAt(tokens: readonly SqlToken[], at: number): { table: Omit<SqlWrite, 'change'>; end: number } | null {
  const start = isWords(tokens, at, ['only']) ? at + 1 : at
  const parts: string[] = []
  let end = start
  for (; ; end += 2) {
    const part = tokens[end]
    if (part === undefined || part.kind === 'sign') return null
    parts.push(part.text)
    if (tokens[end + 1]?.text !== '.') break
  }
  return { table: { schema: parts.at(-2) ?? null, table: parts.at(-1) ?? '' }, end: end + 1 }
}

/** The columns on the left of `=` in the `SET` that follows, `null` where they cannot be told. */
function assignedColumns(tokens: readonly SqlToken[], from: number): readonly string[] | null {
  const set = tokens.findIndex((token, index) => index >= from && token.kind === 'word' && token.text === 'set')
  if (set < 0) return null
  const columns: string[] = []
  let depth = 0
  for (let at = set + 1; at < tokens.length; at++) {
    const token = tokens[at]
    if (token?.text === '(') depth++
    else if (token?.text === ')') depth--
    if (depth < 0) break
    const begins = at === set + 1 || tokens[at - 1]?.text === ',' || tokens[at - 1]?.text === '('
    const ends = tokens[at + 1]?.text
    if (
      begins &&
      token !== undefined &&
      token.kind !== 'sign' &&
      (ends === '=' || ends === ',' || ends === ')' || ends === '[' || ends === '.')
    ) {
      columns.push(token.text)
    }
  }
  return columns
}

function isWords(tokens: readonly SqlToken[], at: number, words: readonly string[]): boolean {
  return words.every((word, offset) => tokens[at + offset]?.kind === 'word' && tokens[at + offset]?.text === word)
}

function joined(...all: readonly SqlWrites[]): SqlWrites {
  const known = all.filter((writes) => writes !== 'unknown')
  return known.length < all.length ? 'unknown' : known.flat()
}
