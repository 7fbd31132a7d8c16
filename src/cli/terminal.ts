import { styleText } from 'node:util'
import { secrets } from '../environment.js'
import { redact } from '../redact.js'

type Format = Parameters<typeof styleText>[0]

/** Styles a text, or leaves it as it is where nobody would see the colour. */
export type Paint = (format: Format, text: string) => string

/** Colours are for people: only in a terminal, and not where `NO_COLOR` is set (https://no-color.org). */
export function wantsColor(stream: { readonly isTTY?: boolean | undefined }, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
}

export function painter(color: boolean): Paint {
  return color ? (format, text) => styleText(format, text, { validateStream: false }) : (_, text) => text
}

/** The painter for one of this process' streams. */
export function paintFor(stream: NodeJS.WriteStream): Paint {
  return painter(wantsColor(stream, process.env))
}

/** Writes a text without its secrets, and a line break after it. */
export function print(stream: NodeJS.WriteStream, text: string): void {
  stream.write(`${redact(text, secrets())}\n`)
}

export function printJson(value: unknown): void {
  print(process.stdout, JSON.stringify(value, null, 2))
}
