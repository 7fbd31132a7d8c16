import { onTestFinished } from 'vitest'
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.js'

/** An emulator that ends with the test. */
export async function emulatorForTest(options: EmulatorOptions = {}): Promise<Emulator> {
  const emulator = await startEmulator(options)
  onTestFinished(() => emulator.close())
  return emulator
}

export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; `undefined` where it is none. */
  readonly body: Record<string, unknown> | undefined
}

export interface Ask {
  readonly method?: string
  readonly headers?: Record<string, string>
  /** Sent as it is where it is a string. */
  readonly body?: unknown
  readonly signal?: AbortSignal
}

/** One request with the emulator's key, over real HTTP. `path` may be a whole URL. */
export async function ask(emulator: Emulator, path: string, options: Ask = {}): Promise<Answered> {
  const { method = 'POST', headers, body, signal } = options
  const response = await fetch(path.startsWith('http') ? path : `${emulator.url}${path}`, {
    method,
    headers: headers ?? { authorization: `Bearer ${emulator.apiKey}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, body: parsed(text) }
}

/** Adds objects to a namespace. */
export function add(emulator: Emulator, namespace: string, data: unknown, options: Ask = {}): Promise<Answered> {
  return ask(emulator, `/v1/data/${namespace}`, { body: { data }, ...options })
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
