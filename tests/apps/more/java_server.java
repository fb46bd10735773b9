// SPDX-License-Identifier: BSD-3-Clause
// java_server.java - the HTTP server of the JDK (NIO: a selector and a pool of threads) over a directory: java java_server.java PORT DIRECTORY
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;

class JavaServer {
	public static void main(String[] args) throws Exception {
		HttpServer server = HttpServer.create(new InetSocketAddress("0.0.0.0", Integer.parseInt(args[0])), 1024);

		server.createContext("/", exchange -> {
			Path file = Path.of(args[1] + exchange.getRequestURI().getPath());

			exchange.sendResponseHeaders(200, Files.size(file));
			Files.copy(file, exchange.getResponseBody());
			exchange.close();
		});
		server.setExecutor(Executors.newFixedThreadPool(8));
		server.start();
	}
}
