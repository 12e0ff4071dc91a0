import { execFileSync } from 'node:child_process'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

const { VAULTGRAPH_COMMAND = '../../.venv/bin/vaultgraph', VAULTGRAPH_DATA_DIR = '../../vaultgraph-data' } = process.env

// In production this is your backend: it knows who is signed in and gives the page a token for this customer only.
const backend: Plugin = {
  name: 'backend',
  configureServer(server) {
    server.middlewares.use('/token', (_, reply) => {
      const words = ['token', '--customer', 'cus_alex', '--data-dir', VAULTGRAPH_DATA_DIR]
      const token = execFileSync(VAULTGRAPH_COMMAND, words, { encoding: 'utf8' })
      reply.setHeader('cache-control', 'no-store').end(token.trim())
    })
  },
}

export default defineConfig({ plugins: [backend, react()], server: { host: '127.0.0.1' } })
