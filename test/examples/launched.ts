import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { type RunningCommand, startScript } from '../support/sidecar.js'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** What an example says of itself for the commands of its README. */
export interface Surroundings {
  readonly URL: string
  readonly SAFETYKIT: string
  readonly DATABASE_URL: string
  readonly ID: string
}

export interface Launched {
  readonly example: RunningCommand
  readonly surroundings: Surroundings
}

/** Starts what `npm run example:…` starts, until it says that everything keeps running. It ends with the test. */
export async function launch(name: 'inline' | 'sidecar'): Promise<Launched> {
  const example = startScript(`examples/${name}/main.ts`, { cwd: root, env: { PORT: '0' } })
  onTestFinished(async () => {
    example.kill('SIGTERM')
    await example.exited
  })
  const printed = /^ *export (URL=\S+ SAFETYKIT=\S+ DATABASE_URL=\S+ ID=\S+)$/m
  await example.waitForOutput('export URL=')
  await example.waitForOutput('\n\n')
  const pairs = (printed.exec(example.stdout())?.[1] ?? '').split(' ').map((pair) => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), pair.slice(at + 1)]
  })
  return { example, surroundings: Object.fromEntries(pairs) }
}

/** The commands of an example's README, one text for each block that fits. */
export async function commandsOf(name: 'inline' | 'sidecar', fits: (block: string) => boolean): Promise<string[]> {
  const readme = await readFile(path.join(root, 'examples', name, 'README.md'), 'utf8')
  return [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map((match) => match[1] ?? '').filter(fits)
}

export interface ShellResult {
  readonly code: number | null
  readonly output: string
}

/** Runs commands as a newcomer would, from the root of the repository. Ends at the first that fails. */
export function shell(commands: string, env: Surroundings): Promise<ShellResult> {
  const child = spawn('/bin/sh', ['-e'], { cwd: root, env: { ...process.env, ...env }, stdio: 'pipe' })
  child.stdin.end(commands)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}
