import { SyncError } from '../errors.js'

/** What a value that is not JSON is, and what to return instead. Never the value itself. */
class NotJson extends Error {
  constructor(
    readonly what: string,
    readonly hint: string,
  ) {
    super(what)
  }
}

/** The JSON text of what a computed field gave; `undefined` leaves the field out. @throws SyncError `OBJECT_INVALID` */
export function computedJson(path: string, compute: () => unknown): string | undefined {
  const value = called(path, compute)
  return value === undefined ? undefined : judged(path, () => jsonText(value, []))
}

/** Whether `where` takes the row. @throws SyncError `OBJECT_INVALID` when it says neither true nor false. */
export function whereSays(path: string, where: () => unknown): boolean {
  const value = called(path, where)
  if (typeof value === 'boolean') return value
  if (isPromise(value)) throw invalid(`${path} gave a promise instead of true or false`, promiseHint)
  // To take anything else as false would leave the row out without a word.
  const what = value === null ? 'null' : typeof value
  throw invalid(`${path} gave ${what} instead of true or false`, 'return a boolean, for example `row.x !== null`')
}

function called(path: string, run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    // The message may hold values of the row, and so may a cause.
    throw invalid(`${path} threw (${className(error)})`, 'make it give a value for every row; columns can be null')
  }
}

function judged<Result>(path: string, judge: () => Result): Result {
  try {
    return judge()
  } catch (error) {
    if (error instanceof NotJson) throw invalid(`${path} gave ${error.what}, which is not JSON`, error.hint)
    // A getter or a proxy of the user's that throws.
    throw invalid(`${path} gave a value that cannot be read (${className(error)})`, 'return plain values')
  }
}

function jsonText(value: unknown, around: readonly object[]): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value)
    case 'number':
      if (Number.isFinite(value)) return JSON.stringify(value)
      throw new NotJson(String(value), 'return null or a finite number')
    case 'bigint':
      throw new NotJson('a bigint', 'return `value.toString()`, or `Number(value)` where it is exact')
    case 'object':
      return value === null ? 'null' : objectText(value, around)
    default:
      throw new NotJson(
        typeof value === 'undefined' ? 'undefined inside an array' : `a ${typeof value}`,
        'return a string, a number, a boolean, null, or arrays and plain objects of these',
      )
  }
}

function objectText(value: object, around: readonly object[]): string {
  if (around.includes(value)) throw new NotJson('an object that holds itself', 'return a value without circles')
  // All of them at once, so that no rejection is left to end the process.
  if ([value, ...Object.values(value)].filter(isPromise).length > 0) throw new NotJson('a promise', promiseHint)
  const inside = [...around, value]
  if (Array.isArray(value)) return `[${Array.from(value, (item) => jsonText(item, inside)).join(',')}]`
  if (value instanceof Date) throw new NotJson('a Date', 'return `date.toISOString()`')
  const prototype: unknown = Object.getPrototypeOf(value)
  // Plain objects of another realm (a vm context, a test runner) have that realm's prototype.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    throw new NotJson(`a ${className(value)}`, 'return its text, its number, or a plain object or an array made of it')
  }
  const fields = Object.entries(value).filter(([, item]) => item !== undefined)
  return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${jsonText(item, inside)}`).join(',')}}`
}

const promiseHint = 'make it synchronous: it is called for every change, and cannot wait'

/** Takes its rejection as well, which nobody else will. */
function isPromise(value: unknown): boolean {
  if (value instanceof Promise) value.catch(() => {})
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

/** The name of its class: of the code, so that it holds nothing of a row. */
function className(value: unknown): string {
  if (typeof value !== 'object' || value === null) return typeof value
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? name : 'object'
}

function invalid(message: string, hint: string): SyncError {
  return new SyncError('OBJECT_INVALID', message, { hint })
}
