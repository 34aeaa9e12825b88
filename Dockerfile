# The environment of the lock file, and the project: one image for the call and for all its jobs.
#   docker build -t cogment-pipe .
#   docker run --rm -v "$PWD/out:/out" cogment-pipe \
#     snakemake results/stage4/ --directory /out --cores all --config scale=small
# On a GPU add `--gpus all`: the wheels of torch bring CUDA along, the host brings its driver.
FROM python:3.11-slim-bookworm

# procps and util-linux: `setsid` for the profiles' scripts; kubernetes-client: kubectl.
RUN apt-get update \
    && apt-get install -y --no-install-recommends git procps util-linux kubernetes-client \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/cogment-pipe
COPY requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock
COPY . .
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/opt/cogment-pipe
CMD ["snakemake", "--cores", "all"]
