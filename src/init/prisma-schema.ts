/*
 * As much of Prisma's schema language as a mapping is guessed from: https://www.prisma.io/docs/orm/reference/prisma-schema-reference
 * The runtime data model of a generated client tells neither keys nor relations, and Prisma's own parser is a program or
 * megabytes of WebAssembly.
 */

export interface PrismaSchema {
  readonly models: readonly PrismaModel[]
  readonly enums: ReadonlySet<string>
  readonly generators: readonly PrismaGenerator[]
}

export interface PrismaModel {
  readonly name: string
  readonly fields: readonly PrismaField[]
  /** `@@id`, `@@ignore`: what stands in their parentheses. */
  readonly attributes: ReadonlyMap<string, string>
}

export interface PrismaField {
  readonly name: string
  /** `Unsupported` for `Unsupported("…")`. */
  readonly type: string
  readonly list: boolean
  /** `id`, `relation`, `db.Uuid`: what stands in their parentheses. */
  readonly attributes: ReadonlyMap<string, string>
}

/** Its settings by name; only those whose value is a string. */
export type PrismaGenerator = ReadonlyMap<string, string>

/** Reads the text of a schema; of several files, their texts one after the other. */
export function parsePrismaSchema(text: string): PrismaSchema {
  const models: PrismaModel[] = []
  const enums = new Set<string>()
  const generators: PrismaGenerator[] = []
  let block: { readonly kind: string; readonly name: string; readonly lines: string[] } | null = null
  for (const line of logicalLines(text)) {
    const opened = /^(\w+)\s+(\w+)\s*\{$/.exec(line)
    if (block === null) {
      if (opened !== null) block = { kind: opened[1] ?? '', name: opened[2] ?? '', lines: [] }
    } else if (line !== '}') {
      block.lines.push(line)
    } else {
      if (block.kind === 'model') models.push(modelOf(block.name, block.lines))
      if (block.kind === 'enum') enums.add(block.name)
      if (block.kind === 'generator') generators.push(generatorOf(block.lines))
      block = null
    }
  }
  return { models, enums, generators }
}

/** Without comments and empty lines; what is in brackets over several lines is one. */
function* logicalLines(text: string): Generator<string> {
  let line = ''
  let depth = 0
  // Strings first, so that nothing in them counts as anything else.
  for (const [part] of text.matchAll(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\n|[^"\n/]+|[\s\S]/g)) {
    if (part.startsWith('//') || part.startsWith('/*')) continue
    if (part === '\n') {
      if (depth > 0) line += ' '
      else {
        if (line.trim() !== '') yield line.trim()
        line = ''
      }
      continue
    }
    if (!part.startsWith('"')) {
      for (const character of part) {
        if ('(['.includes(character)) depth += 1
        else if (')]'.includes(character)) depth = Math.max(0, depth - 1)
      }
    }
    line += part
  }
  if (line.trim() !== '') yield line.trim()
}

function modelOf(name: string, lines: readonly string[]): PrismaModel {
  const fields: PrismaField[] = []
  const attributes = new Map<string, string>()
  for (const line of lines) {
    if (line.startsWith('@@')) {
      for (const [attribute, given] of attributesOf(line.slice(1))) attributes.set(attribute, given)
      continue
    }
    const field = /^(\w+)\s+(\w+)(?:\("[^"]*"\))?\s*(\[\])?\s*\??\s*(.*)$/s.exec(line)
    if (field === null) continue
    const [, fieldName = '', type = '', list, rest = ''] = field
    fields.push({ name: fieldName, type, list: list !== undefined, attributes: attributesOf(rest) })
  }
  return { name, fields, attributes }
}

/** `@id @relation(fields: [a], references: [b])` by name, with the text in the parentheses. */
function attributesOf(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  let name = ''
  let given = ''
  let depth = 0
  for (const [part] of `${text} `.matchAll(/"(?:[^"\\]|\\.)*"|@[\w.]+|[\s\S]/g)) {
    if (depth === 0 && part.startsWith('@')) {
      name = part.slice(1)
      found.set(name, '')
      given = ''
    } else if (part === ')' && depth === 1) {
      depth = 0
      found.set(name, given.trim())
    } else if (depth > 0) {
      given += part
      if (part === '(') depth += 1
      if (part === ')') depth -= 1
    } else if (part === '(') {
      depth = 1
    }
  }
  return found
}

function generatorOf(lines: readonly string[]): PrismaGenerator {
  const settings = new Map<string, string>()
  for (const line of lines) {
    const setting = /^(\w+)\s*=\s*("(?:[^"\\]|\\.)*")$/.exec(line)
    if (setting?.[1] !== undefined) settings.set(setting[1], String(JSON.parse(setting[2] ?? '""')))
  }
  return settings
}
