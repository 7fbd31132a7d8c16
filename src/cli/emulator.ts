import { type Command, InvalidArgumentError } from 'commander'
import { type Emulator, type EmulatorOptions, startEmulator } from '../emulator/index.js'
import { SyncError } from '../errors.js'
import { addHelp } from './options.js'
import { onStopSignals } from './stop-signals.js'
import { paintFor } from './terminal.js'

interface Flags {
  readonly port: number
  readonly host: string
  readonly apiKey?: string
  readonly latencyMs?: number
  readonly processingMs?: number
  readonly history: boolean
  readonly objects: boolean
  readonly json?: true
}

export function addEmulator(program: Command): void {
  const command = program
    .command('emulator')
    .summary('run a local SafetyKit')
    .description(
      'Runs a local SafetyKit, to develop and to test without a key, until it is stopped. It keeps all in memory.',
    )
    .option('-p, --port <port>', 'the port; 0 is any free one', wholeNumber(65_535), 4444)
    .option('--host <address>', 'the address to listen at', '127.0.0.1')
    .option('--api-key <key>', 'the key that is accepted (default: sk_emulator)')
    .option('--latency-ms <ms>', 'the time that every answer takes', wholeNumber(3_600_000))
    .option('--processing-ms <ms>', 'the time from accepted to succeeded', wholeNumber(86_400_000))
    .option('--no-history', 'keep the latest version of every object alone')
    .option('--no-objects', 'keep no object at all, for benchmarks')
    .option('--json', 'print the URL and the key as JSON, in one line')
    .action(runEmulator)
  addHelp(
    command,
    `Examples:
  safetykit-sync emulator
  safetykit-sync emulator --port 4445 --latency-ms 50`,
  )
}

async function runEmulator(flags: Flags): Promise<void> {
  const emulator = await listening(flags)
  let stop = (): void => {}
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  const release = onStopSignals(stop)
  try {
    const { url, apiKey } = emulator
    // Not by `print`: this key is no secret, and may be the one that is set as SAFETYKIT_API_KEY.
    process.stdout.write(`${flags.json ? JSON.stringify({ url, apiKey }) : introduction(url, apiKey)}\n`)
    await stopped
  } finally {
    release()
    await emulator.close()
  }
}

function introduction(url: string, apiKey: string): string {
  const paint = paintFor(process.stdout)
  return [
    `SafetyKit's emulator listens at ${paint('bold', url)}`,
    '',
    paint('dim', '# for .env, or to be exported'),
    `SAFETYKIT_BASE_URL=${url}`,
    `SAFETYKIT_API_KEY=${apiKey}`,
    '',
    paint('dim', 'Stop it with Ctrl-C.'),
  ].join('\n')
}

async function listening({ port, host, apiKey, latencyMs, processingMs, history, objects }: Flags): Promise<Emulator> {
  const options: EmulatorOptions = {
    port,
    host,
    keepHistory: history,
    keepObjects: objects,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(processingMs === undefined ? {} : { processingMs }),
    ...(latencyMs === undefined ? {} : { faults: [{ do: { latencyMs } }] }),
  }
  try {
    return await startEmulator(options)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    throw new SyncError('CONFIG_INVALID', `The emulator cannot listen at ${host}:${port} (${error.code})`, {
      cause: error,
      hint: 'Choose another port with --port (0 is any free one), or an address of this machine with --host.',
    })
  }
}

function wholeNumber(max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number <= max) return number
    throw new InvalidArgumentError(`It has to be a whole number from 0 to ${max}.`)
  }
}
