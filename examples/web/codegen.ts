import type { CodegenConfig } from '@graphql-codegen/cli'

const config: CodegenConfig = {
  schema: '../../schema.graphql',
  documents: 'src/**/*.tsx',
  generates: {
    'src/gql/': {
      preset: 'client',
      presetConfig: { fragmentMasking: false },
      config: {
        defaultScalarType: 'string', // every scalar of the schema is text in JSON
        enumsAsTypes: true,
        nonOptionalTypename: true,
        skipTypeNameForRoot: true,
      },
    },
  },
}
export default config
