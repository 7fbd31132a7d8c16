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
  readonly importProcessingMs?: number
  readonly webhookUrl?: string
  readonly webhookSecret: string
  readonly history: boolean
  readonly objects: boolean
  readonly json?: true
}

/** As little a secret as the emulator's key. */
const defaultWebhookSecret = 'whsec_c2FmZXR5a2l0LWVtdWxhdG9yLXdlYmhvb2tz'

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
    .option(
      '--import-processing-ms <ms>',
      'the time from an upload to its objects (default: as --processing-ms)',
      wholeNumber(86_400_000),
    )
    .option('--webhook-url <url>', 'where to tell of evaluations')
    .option('--webhook-secret <secret>', 'what webhooks are signed with, whsec_…', defaultWebhookSecret)
    .option('--no-history', 'keep the latest version of every object alone')
    .option('--no-objects', 'keep no object at all, for benchmarks')
    .option('--json', 'print the URL and the key as JSON, in one line')
    .action(runEmulator)
  addHelp(
    command,
    `Examples:
  safetykit-sync emulator
  safetykit-sync emulator --port 4445 --latency-ms 50
  safetykit-sync emulator --webhook-url http://127.0.0.1:3000/webhooks/safetykit`,
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
    process.stdout.write(`${flags.json ? JSON.stringify({ url, apiKey }) : introduction(url, apiKey, flags)}\n`)
    await stopped
  } finally {
    release()
    await emulator.close()
  }
}

function introduction(url: string, apiKey: string, { webhookUrl, webhookSecret }: Flags): string {
  const paint = paintFor(process.stdout)
  return [
    `SafetyKit's emulator listens at ${paint('bold', url)}`,
    '',
    paint('dim', '# for .env, or to be exported'),
    `SAFETYKIT_BASE_URL=${url}`,
    `SAFETYKIT_API_KEY=${apiKey}`,
    ...(webhookUrl === undefined ? [] : [`SAFETYKIT_WEBHOOK_SECRET=${webhookSecret}`]),
    '',
    paint('dim', 'Stop it with Ctrl-C.'),
  ].join('\n')
}

async function listening(flags: Flags): Promise<Emulator> {
  const { port, host, apiKey, latencyMs, processingMs, importProcessingMs, webhookUrl, webhookSecret } = flags
  const options: EmulatorOptions = {
    port,
    host,
    keepHistory: flags.history,
    keepObjects: flags.objects,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(processingMs === undefined ? {} : { processingMs }),
    ...(importProcessingMs === undefined ? {} : { importProcessingMs }),
    ...(webhookUrl === undefined ? {} : { webhook: { url: webhookUrl, secret: webhookSecret } }),
    ...(latencyMs === undefined ? {} : { faults: [{ do: { latencyMs } }] }),
  }
  try {
    return await startEmulator(options)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (error instanceof TypeError && !('code' in error)) {
      throw new SyncError('CONFIG_INVALID', `The emulator cannot send webhooks: ${error.message}`, {
        hint: 'Give an HTTP URL with --webhook-url, and whsec_ followed by base64 with --webhook-secret.',
      })
    }
    if (!('code' in error)) throw error
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
