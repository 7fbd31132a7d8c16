// The direction of the data, held by a tool (npm run lint): rooms import root words, their own files, and types of
// the rooms to their left. Only pipeline.ts and extension.ts compose rooms; only cli/ reads `process` (held by the rule in biome.json).
const rooms = ['capture', 'mapping', 'delivery', 'ledger', 'results']

/** A room may not import values from any other room; types only from the rooms that the data passes before it. */
const betweenRooms = rooms.flatMap((room, index) => [
  {
    name: `${room}-imports-no-values-of-other-rooms`,
    severity: 'error',
    from: { path: `^src/${room}/` },
    to: {
      path: `^src/(${rooms.filter((other) => other !== room).join('|')})/`,
      dependencyTypesNot: ['type-only'],
    },
  },
  ...(index < rooms.length - 1
    ? [
        {
          name: `${room}-knows-nothing-downstream`,
          severity: 'error',
          from: { path: `^src/${room}/` },
          to: { path: `^src/(${rooms.slice(index + 1).join('|')})/` },
        },
      ]
    : []),
])

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    ...betweenRooms,
    {
      name: 'rooms-do-not-import-their-composer',
      severity: 'error',
      from: { path: `^src/(${rooms.join('|')}|config|emulator)/` },
      to: { path: '^src/(pipeline|extension|sync|index|cli/)' },
    },
    {
      name: 'only-the-command-imports-the-emulator',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(emulator|cli)/' },
      to: { path: '^src/emulator/' },
    },
    {
      name: 'the-emulator-stands-alone',
      severity: 'error',
      from: { path: '^src/emulator/' },
      to: { path: '^src/', pathNot: '^src/emulator/' },
    },
    {
      name: 'prisma-is-optional',
      comment: 'Importing the package or running the sidecar on `tables` must not need Prisma.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '(^|/)@?prisma(/|$)', pathNot: '^(src|prisma)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-dev-dependencies-in-the-package',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default'] },
  },
}
