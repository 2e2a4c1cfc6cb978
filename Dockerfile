# The package on processors alone:
#   docker build -t robust-reps .
#   docker run --rm -v "$PWD/out:/out" robust-reps
# runs README's first command and leaves its pictures in out/. Any other command goes after the name:
#   docker run --rm -v "$PWD:/out" robust-reps invert --model photographs-robust --images /out/cat.jpg --out /out/mine
FROM python:3.11-slim
RUN useradd --create-home user && mkdir /out && chown user /out
COPY . /src
RUN pip install --no-cache-dir "/src[photographs]" --extra-index-url https://download.pytorch.org/whl/cpu \
    && rm -rf /src
USER user
WORKDIR /out
ENTRYPOINT ["robust-reps"]
CMD ["invert", "--model", "photographs-robust", "--model", "photographs-standard", \
     "--targets", "photographs", "--n", "3", "--iterations", "1000", "--out", "/out"]
